"""Supabase Auth's public keys."""

from typing import Any

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import Pool, attempt

LARGEST_JWKS = 65_536


async def fetch_jwks(pool: Pool, url: str) -> dict[str, Any]:
    """The JWKS document. Raises ApiError, httpx.HTTPError or ValueError when there is none to be had."""
    response = await attempt(
        lambda: pool.clients.get(url, timeout=5.0), server="auth", operation="jwks", idempotent=True
    )
    response.raise_for_status()
    if len(response.content) > LARGEST_JWKS:
        raise ApiError("upstream_error")
    document: dict[str, Any] = response.json()
    return document
