"""The checks of GET /readyz."""

import asyncio
from typing import Any

import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.storage import Storage
from assetdock_server.identity import jwks as jwks_module
from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.session import SessionVerifier
from tests.security.auth import ISSUER, Auth
from tests.service.scripted_upstream import always, last_response, upstream


@pytest.mark.parametrize("status", [200, 204, 301, 401, 404, 500])
def test_storage_is_ready_only_if_its_status_is_successful(status: int) -> None:
    async def ask() -> None:
        async with upstream(always(last_response(f"{status} Status", b""))) as served, http_pool() as pool:
            await Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="sb_publishable_x").check()

    if status < 300:
        asyncio.run(ask())
    else:
        with pytest.raises(ApiError, match="upstream_error"):
            asyncio.run(ask())


def test_readiness_fetches_the_key_set_once_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    auth = Auth()

    async def ask() -> None:
        jwks = Jwks(auth.fetch)
        for _ in range(10):
            await jwks.require()
        assert auth.fetches == 1
        monkeypatch.setattr(jwks_module, "READY_SECONDS", 0)
        await jwks.require()
        assert auth.fetches == 2

    asyncio.run(ask())


@pytest.mark.parametrize(
    "failure", [ApiError("upstream_unavailable"), ApiError("upstream_timeout"), ValueError("no JSON")]
)
def test_readiness_reports_stale_keys_while_they_remain_valid(failure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "READY_SECONDS", 0)
    auth = Auth()
    auth.rotate("first")

    async def outage() -> None:
        jwks = Jwks(auth.fetch)
        auth.respond = lambda: failure
        with pytest.raises(ApiError, match="upstream_unavailable"):
            await jwks.require()
        assert not jwks.is_loaded

        auth.respond = auth.document
        await jwks.require()
        auth.respond = lambda: failure
        with pytest.raises(ApiError, match="upstream_unavailable"):
            await jwks.require()
        assert jwks.is_loaded
        await SessionVerifier(issuer=ISSUER, jwks=jwks, secret=None).verify(auth.token("first"))

    asyncio.run(outage())
