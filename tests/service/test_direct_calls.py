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
from devstack.ports import Ports
from tests.callers import Caller, Project
from tests.service.scripted_upstream import always, last_response, upstream

CallUpstream = Callable[[Postgrest], Awaitable[Any]]
UNKNOWN_ID = "019de7f7-3a52-74d1-9eeb-323e0bfb7bb9"


def outcome(url: str, key: str, call: CallUpstream, limits: Limits | None = None) -> object:
    """The result, or everything in the ApiError."""

    async def run() -> object:
        async with http_pool(limits) as connections:
            try:
                return await call(Postgrest(connections, url=url, publishable_key=key))
            except ApiError as error:
                return error.code, error.status, error.text, error.fields, error.headers

    return asyncio.run(run())


def both(
    url: str, key: str, function: str, arguments: dict[str, Any], limits: Limits | None = None, **kwargs: Any
) -> tuple[object, object]:
    """The outcome of `call` and that of `call_directly`."""
    return (
        outcome(url, key, lambda postgrest: postgrest.call(function, arguments, **kwargs), limits),
        outcome(url, key, lambda postgrest: postgrest.call_directly(function, arguments, **kwargs), limits),
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
        (None, "upstream_unavailable"),
    ],
)
def test_failures_have_the_same_error_and_the_same_retries(data: bytes | None, code: str, idempotent: bool) -> None:
    async def through(way: str) -> tuple[tuple[object, ...], int]:
        async with upstream(always(data)) as served, http_pool() as connections:
            postgrest = Postgrest(connections, url=served.url, publishable_key="key")
            call = postgrest.call if way == "official" else postgrest.call_directly
            with pytest.raises(ApiError) as error:
                await call("list_assets", {}, token="t", idempotent=idempotent)
            return (error.value.code, error.value.text, error.value.headers), len(served.requests)

    official, direct = asyncio.run(through("official")), asyncio.run(through("direct"))

    assert official == direct
    assert direct[0][0] == code
    assert direct[1] == (2 if data is None and idempotent else 1)


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
    [b"<html>", b"{}", b"[]", b"null", b'{"url":7}', b'{"url":"/object/x"}', b'{"url":"/object/x?token=a.b.c"}'],
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
