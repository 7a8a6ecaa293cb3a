"""A successful response that is not what was promised is 502, through the official clients and directly."""

import asyncio
import json
from typing import Any

import httpx
import jwt
import pytest
from pydantic import TypeAdapter

from assetdock_server.app import create_app
from assetdock_server.config import service_settings
from assetdock_server.errors import ApiError
from assetdock_server.gateways import results
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from tests.service.fixed_upstream import ASSET
from tests.service.scripted_upstream import Script, Upstream, always, last_response, upstream

Result = TypeAdapter[Any]
RESERVED = f'{{"asset":{ASSET},"bucket":"assets","object_name":"x","upload_expires_at":"2026-11-24T04:35:27.1Z"}}'
SECRET = "a secret of at least thirty-two bytes"


def outcome(way: str, result: Result, status: str, body: str) -> object:
    """The result, or the code of the error."""

    async def run() -> object:
        async with upstream(always(last_response(status, body.encode()))) as served, http_pool() as pool:
            postgrest = Postgrest(pool, url=served.url, publishable_key="key")
            call = postgrest.call if way == "official" else postgrest.call_directly
            try:
                return await call("f", {}, result, token="t")
            except ApiError as error:
                return error.code

    return asyncio.run(run())


@pytest.mark.parametrize("way", ["official", "direct"])
@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        *((results.ASSET, "200 OK", body) for body in ("", "null", "<html>", "[]", "{}", "7", '"x"', '{"id":"x"')),
        (results.ASSET, "204 No Content", ""),
        (results.ASSET, "200 OK", ASSET.replace('"state":"pending_upload"', '"state":7')),
        (results.ASSET, "200 OK", ASSET.replace('"size_bytes":null', '"size_bytes":"7"')),
        (results.ASSET_PAGE, "200 OK", '{"items":{},"limit":20,"next_cursor":null}'),
        (results.ASSET_PAGE, "200 OK", '{"items":[null],"limit":20,"next_cursor":null}'),
        (results.RESERVATION, "200 OK", RESERVED.replace('"2026-11-24T04:35:27.1Z"', '"tomorrow"')),
        (results.RESERVATION, "200 OK", RESERVED.replace("27.1Z", "27")),
        (results.RESERVATION, "200 OK", RESERVED.replace('"2026-11-24T04:35:27.1Z"', "7")),
        (results.REPEATED_RESERVATION, "200 OK", RESERVED.replace('"bucket":"assets",', "")),
        (results.IDS, "200 OK", ""),
        (results.IDS, "204 No Content", ""),
        (results.IDS, "200 OK", "[7]"),
        *((results.NOTHING, "200 OK", body) for body in ("", "null", "<html>", "[]", "{}")),
        (results.PONG, "200 OK", "false"),
    ],
)
def test_a_result_that_was_not_promised_is_an_upstream_error(way: str, result: Result, status: str, body: str) -> None:
    assert outcome(way, result, status, body) == "upstream_error"


@pytest.mark.parametrize("way", ["official", "direct"])
def test_promised_results_keep_the_fields_that_are_not_known_yet(way: str) -> None:
    newer = {**json.loads(ASSET), "waveform": [1, 2]}

    assert outcome(way, results.ASSET, "200 OK", json.dumps(newer)) == newer
    assert outcome(way, results.NOTHING, "204 No Content", "") is None
    assert outcome(way, results.PONG, "200 OK", "true") is True
    reserved = outcome(way, results.REPEATED_RESERVATION, "200 OK", RESERVED)
    assert isinstance(reserved, dict)
    assert reserved["upload_expires_at"].isoformat() == "2026-11-24T04:35:27.100000+00:00"


@pytest.mark.parametrize(("status", "body"), [("200 OK", "<html>"), ("200 OK", "{}"), ("204 No Content", "")])
def test_storage_must_list_what_it_removed(status: str, body: str) -> None:
    async def run() -> None:
        async with upstream(always(last_response(status, body.encode()))) as served, http_pool() as pool:
            await Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="key").remove("t", "assets", "x")

    with pytest.raises(ApiError, match="upstream_error"):
        asyncio.run(run())


def responds(script: Script, method: str, path: str) -> tuple[int, Any]:
    """The response of the whole service, whose upstream servers are all one scripted server."""

    async def run() -> tuple[int, Any]:
        async with upstream(script) as served:
            settings = service_settings(
                {
                    "SUPABASE_URL": served.url,
                    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
                    "SUPABASE_JWT_SECRET": SECRET,
                }
            )
            issuer = settings.connection.issuer
            claims = {"iss": issuer, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": 2**33}
            app = create_app(settings)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
            ):
                headers = {"Authorization": f"Bearer {jwt.encode(claims, SECRET)}"}
                response = await client.request(method, path, headers=headers)
                return response.status_code, response.json() if response.content else None

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/assets"),
        ("GET", "/api/v1/assets/01a20bc8-9fa1-7d85-8938-770126c645ee"),
        ("DELETE", "/api/v1/assets/01a20bc8-9fa1-7d85-8938-770126c645ee"),
        ("GET", "/api/v1/api-keys"),
        ("POST", "/api/v1/webhook-endpoints/01a20bc8-9fa1-7d85-8938-770126c645ee/rotate-secret"),
    ],
)
@pytest.mark.parametrize(
    "data",
    [
        last_response("200 OK", b"<html>"),
        last_response("200 OK", b""),
        last_response("200 OK", b"null"),
        last_response("400 Bad Request", b'{"code":400,"message":"x","details":[]}'),
    ],
)
def test_the_service_responds_with_502(method: str, path: str, data: bytes) -> None:
    status, body = responds(always(data), method, path)

    assert status == 502
    assert body["error"]["code"] == "upstream_error"


def test_readiness_does_not_trust_html() -> None:
    async def script(_: Upstream, __: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(last_response("200 OK", b"<html>"))

    status, body = responds(script, "GET", "/readyz")

    assert status == 503
    assert body["checks"] == {"database": "upstream_error", "storage": "ok", "signing_keys": "upstream_unavailable"}
