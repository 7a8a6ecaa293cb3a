"""`Postgrest.call_directly` has the results and errors of `Postgrest.call`, the official client."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import Limits, http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from assetdock_server.identity.minting import Minter
from assetdock_server.identity.signing import SigningKey
from devstack.ports import Ports
from tests.callers import Caller, Project
from tests.service.scripted_upstream import ANYTHING, always, last_response, upstream

CallUpstream = Callable[[Postgrest], Awaitable[Any]]
UNKNOWN_ID = "019de7f7-3a52-74d1-9eeb-323e0bfb7bb9"


def outcome(url: str, key: str, call: CallUpstream, limits: Limits | None = None) -> object:
    """The result, or everything in the ApiError."""

    async def run() -> object:
        async with http_pool(limits) as connections:
            try:
                minter = Minter(SigningKey.from_secret(b"s" * 32))
                return await call(Postgrest(connections, url=url, publishable_key=key, minter=minter))
            except ApiError as error:
                return error.code, error.status, error.text, error.fields, error.headers

    return asyncio.run(run())


def both(
    url: str, key: str, function: str, arguments: dict[str, Any], limits: Limits | None = None, **kwargs: Any
) -> tuple[object, object]:
    """The outcome of `call` and that of `call_directly`."""
    return (
        outcome(url, key, lambda postgrest: postgrest.call(function, arguments, ANYTHING, **kwargs), limits),
        outcome(url, key, lambda postgrest: postgrest.call_directly(function, arguments, ANYTHING, **kwargs), limits),
    )


@pytest.mark.parametrize(
    ("function", "arguments", "code"),
    [
        ("list_assets", {}, None),
        ("get_asset", {"asset_id": UNKNOWN_ID}, "not_found"),
        ("create_upload", {"type": "sculpture", "size_bytes": 0}, "validation_error"),
        ("create_upload", {"type": "cut_file"}, "asset_type_not_uploadable"),
        ("list_assets", {"cursor": "nonsense"}, "bad_request"),
        ("rotate_api_key", {"api_key_id": UNKNOWN_ID, "prefix": "", "secret_sha256": ""}, None),
        ("no_such_function", {}, "upstream_error"),
        ("get_asset", {"asset_id": "nonsense"}, "internal_error"),
    ],
)
def test_results_and_errors_are_the_same(
    owner: Caller, function: str, arguments: dict[str, Any], code: str | None
) -> None:
    project = owner.project
    rest = f"{project.supabase_url}/rest/v1"

    official, direct = both(rest, project.publishable_key, function, arguments, token=owner.credential, inputs="query")

    assert official == direct
    assert code is None or (isinstance(direct, tuple) and direct[0] == code)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
def test_a_malformed_token_has_the_same_error(project: Project, token: str) -> None:
    rest = f"{project.supabase_url}/rest/v1"

    official, direct = both(rest, project.publishable_key, "list_assets", {}, token=token)

    assert official == direct
    assert isinstance(direct, tuple)
    assert direct[0] == "unauthenticated"


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(
    ("data", "code"),
    [
        (last_response("502 Bad Gateway", b"<html>"), "upstream_unavailable"),
        (last_response("503 Service Unavailable", b"{}"), "upstream_unavailable"),
        (last_response("504 Gateway Timeout", b""), "upstream_timeout"),
        (last_response("544 Database Timeout", b"{}"), "upstream_timeout"),
        (last_response("500 Internal Server Error", b"<html>"), "upstream_error"),
        (
            last_response("400 Bad Request", b'{"code":"","message":"","details":null,"hint":null}'),
            "upstream_unavailable",
        ),
        (
            last_response("500 Internal Server Error", b'{"code":"57P01","message":"terminating"}'),
            "upstream_unavailable",
        ),
        (last_response("403 Forbidden", b'{"code":"42501","message":"permission denied"}'), "internal_error"),
        (last_response("429 Too Many Requests", b"<html>"), "upstream_unavailable"),
        *(
            (last_response(f"{status} Proxy", b"<html>"), "upstream_unavailable")
            for status in (520, 521, 523, 530, 540)
        ),
        *((last_response(f"{status} Proxy", b"error code: 522"), "upstream_timeout") for status in (522, 524)),
        # A proxy's status is no SQLSTATE: 530 starts like "insufficient resources", 080 like "connection exception".
        *((last_response(f"{status} Proxy", b"<html>"), "upstream_error") for status in (402, 418, 531, 599)),
        (last_response("400 Bad Request", b'{"code":400,"message":"x"}'), "upstream_error"),
        (last_response("400 Bad Request", b'{"code":"08","message":"x"}'), "upstream_error"),
        (last_response("400 Bad Request", b'{"message":"x"}'), "upstream_error"),
        (last_response("400 Bad Request", b"[]"), "upstream_error"),
        (last_response("200 OK", b"<html>"), "upstream_error"),
        (last_response("200 OK", b""), "upstream_error"),
        (last_response("200 OK", b"null"), "upstream_error"),
        (None, "upstream_unavailable"),
    ],
)
def test_failures_have_the_same_error_and_the_same_retries(data: bytes | None, code: str, idempotent: bool) -> None:
    async def through(way: str) -> tuple[tuple[object, ...], int]:
        async with upstream(always(data)) as served, http_pool() as connections:
            postgrest = Postgrest(connections, url=served.url, publishable_key="key")
            call = postgrest.call if way == "official" else postgrest.call_directly
            with pytest.raises(ApiError) as error:
                await call("list_assets", {}, ANYTHING, token="t", idempotent=idempotent)
            return (error.value.code, error.value.text, error.value.headers), len(served.requests)

    official, direct = asyncio.run(through("official")), asyncio.run(through("direct"))

    assert official == direct
    assert direct[0][0] == code
    assert direct[1] == (2 if data is None and idempotent else 1)


@pytest.mark.parametrize(
    ("status", "seconds"), [(429, "10"), (502, "2"), (504, None), (520, "2"), (524, None), (540, "60")]
)
def test_a_temporary_failure_says_when_to_retry(status: int, seconds: str | None) -> None:
    async def run() -> ApiError:
        async with upstream(always(last_response(f"{status} Proxy", b"<html>"))) as served, http_pool() as pool:
            postgrest = Postgrest(pool, url=served.url, publishable_key="key")
            with pytest.raises(ApiError) as error:
                await postgrest.call_directly("list_assets", {}, ANYTHING, token="t")
            return error.value

    assert asyncio.run(run()).headers.get("Retry-After") == seconds


@pytest.mark.parametrize("details", ["null", '"no JSON"', '"[]"', '"{\\"fields\\":7}"', "7", "{}"])
def test_an_error_of_a_function_needs_no_details(details: str) -> None:
    """PostgREST 16 can be configured to leave them out."""
    body = f'{{"code":"rate_limited","message":"You sent too much.","details":{details}}}'.encode()

    async def run() -> ApiError:
        async with upstream(always(last_response("429 Too Many Requests", body))) as served, http_pool() as pool:
            postgrest = Postgrest(pool, url=served.url, publishable_key="key")
            with pytest.raises(ApiError) as error:
                await postgrest.call_directly("list_assets", {}, ANYTHING, token="t")
            return error.value

    error = asyncio.run(run())
    assert (error.code, error.text, error.fields) == ("rate_limited", "You sent too much.", [])


def test_a_server_that_is_down_has_the_same_error() -> None:
    url = f"http://127.0.0.1:{Ports.free().gateway}"

    official, direct = both(url, "key", "list_assets", {}, token="t")

    assert official == direct
    assert isinstance(direct, tuple)
    assert direct[0] == "upstream_unavailable"


def test_a_silent_server_has_the_same_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        official, direct = both(url, "key", "list_assets", {}, Limits(total_timeout=0.3), token="t")

    assert official == direct
    assert isinstance(direct, tuple)
    assert direct[0] == "upstream_timeout"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        b"{}",
        b"[]",
        b"null",
        b'{"url":null}',
        b'{"url":7}',
        b'{"url":"/object/x"}',
        b'{"url":"/object/x?token=a.b.c"}',
    ],
)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_an_invalid_response_of_storage_is_an_upstream_error(data: bytes, status: str) -> None:
    async def run() -> ApiError:
        async with upstream(always(last_response(status, data))) as served, http_pool() as connections:
            storage = Storage(connections, url=f"{served.url}/storage/v1/", publishable_key="key")
            with pytest.raises(ApiError) as error:
                await storage.sign_upload("t", "assets", UNKNOWN_ID)
            return error.value

    assert asyncio.run(run()).code == "upstream_error"
