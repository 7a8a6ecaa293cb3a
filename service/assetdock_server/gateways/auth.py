"""Supabase Auth's public keys."""

from datetime import timedelta
from typing import Any

import orjson

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import Pool, attempt, raise_temporary_failure

TIMEOUT = timedelta(seconds=5)
MAX_JWKS_BYTES = 65_536


async def fetch_jwks(pool: Pool, url: str) -> dict[str, Any]:
    """The JWKS document. Raises ApiError, and ValueError for a body that is not JSON."""

    async def fetch() -> memoryview:
        async with pool.client.get(url).timeout(TIMEOUT).build_streamed() as response:
            raise_temporary_failure(response.status)
            if response.status != 200:
                raise ApiError("upstream_error")
            return memoryview(await response.body_reader.read(MAX_JWKS_BYTES + 1) or b"")

    body = await attempt(fetch, server="auth", operation="jwks", idempotent=True)
    if len(body) > MAX_JWKS_BYTES:
        raise ApiError("upstream_error")
    document: dict[str, Any] = orjson.loads(body)
    return document
