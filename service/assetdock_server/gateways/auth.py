"""Supabase Auth's public keys."""

from datetime import timedelta
from typing import Any, cast

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import Pool, attempt
from assetdock_server.gateways.results import KEY_SET
from assetdock_server.gateways.upstream_responses import read_result, temporary_failure

TIMEOUT = timedelta(seconds=5)
MAX_JWKS_BYTES = 65_536


async def fetch_jwks(pool: Pool, url: str) -> dict[str, Any]:
    """The JWKS document. Raises ApiError."""

    async def fetch() -> dict[str, Any]:
        async with pool.client.get(url).timeout(TIMEOUT).build_streamed() as response:
            if response.status != 200:
                raise temporary_failure(response.status) or ApiError("upstream_error")
            body = bytes(await response.body_reader.read(MAX_JWKS_BYTES + 1) or b"")
            if len(body) > MAX_JWKS_BYTES:
                raise ApiError("upstream_error")
            return cast(dict[str, Any], read_result(KEY_SET, response.status, body, "jwks"))

    return await attempt(fetch, server="auth", operation="jwks", idempotent=True)
