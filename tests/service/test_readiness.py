"""The checks of GET /readyz."""

import asyncio
from typing import Any

import httpx
import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.storage import Storage, StorageTooOldError
from assetdock_server.identity import jwks as jwks_module
from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.session import SessionVerifier
from tests.callers import Project
from tests.security.auth import ISSUER, Auth
from tests.service.scripted_upstream import Script, Upstream, always, last_response, upstream


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


def versioned(version: bytes, status: bytes = b"200 OK") -> Script:
    """Storage's /status, then /version."""

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asks_version = b"/version " in head.split(b"\r\n")[0]
        body = version if asks_version else b""
        writer.write(last_response(status.decode() if asks_version else "200 OK", body))
        writer.close()

    return script


@pytest.mark.parametrize(
    ("version", "found"),
    [
        (b"1.58.20", "1.58.20"), (b"v1.41.7", "1.41.7"), (b"1.45.0-rc.1", "1.45.0"), (b"0.0.0", None),
        (b"<html>", None), (b"", None), (b"\xff\xfe", None), (b"1.2", None),
    ],
)  # fmt: skip
def test_readiness_tells_the_version_of_storage(version: bytes, found: str | None) -> None:
    async def ask() -> str | None:
        async with upstream(versioned(version)) as served, http_pool() as pool:
            storage = Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="sb_publishable_x")
            await storage.check()
            return storage.version

    assert asyncio.run(ask()) == found


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Error"])
def test_a_gateway_without_the_version_is_ready(status: bytes) -> None:
    async def ask() -> str | None:
        async with upstream(versioned(b"1.0.0", status)) as served, http_pool() as pool:
            storage = Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="sb_publishable_x")
            await storage.check()
            return storage.version

    assert asyncio.run(ask()) is None


def test_an_old_storage_is_not_ready() -> None:
    async def ask() -> None:
        async with upstream(versioned(b"1.40.9")) as served, http_pool() as pool:
            await Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="sb_publishable_x").check()

    with pytest.raises(StorageTooOldError) as error:
        asyncio.run(ask())

    assert error.value.readiness == "storage_too_old"


def test_readyz_shows_the_version(project: Project) -> None:
    assert httpx.get(f"{project.api_url}/readyz").json()["storage_version"] == "1.58.20"


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
