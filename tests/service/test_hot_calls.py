"""The two ways to call a function of the database answer alike: `call_hot` is only cheaper than `call`."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways import pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from devstack.ports import Ports
from tests.callers import Caller, Project

Ask = Callable[[Postgrest], Awaitable[Any]]
NOBODYS = "019de7f7-3a52-74d1-9eeb-323e0bfb7bb9"


def outcome(url: str, key: str, ask: Ask) -> object:
    """What came of it: the answer, or all that an ApiError tells."""

    async def run() -> object:
        async with pool.http_pool() as connections:
            try:
                return await ask(Postgrest(connections, url=url, publishable_key=key))
            except ApiError as error:
                return error.code, error.status, error.text, error.fields, error.headers

    return asyncio.run(run())


def both(url: str, key: str, function: str, arguments: dict[str, Any], **how: Any) -> tuple[object, object]:
    """The outcome of `call` and that of `call_hot`."""
    return (
        outcome(url, key, lambda postgrest: postgrest.call(function, arguments, **how)),
        outcome(url, key, lambda postgrest: postgrest.call_hot(function, arguments, **how)),
    )


@pytest.mark.parametrize(
    ("function", "arguments", "code"),
    [
        ("list_assets", {}, None),
        ("get_asset", {"asset_id": NOBODYS}, "not_found"),
        ("create_upload", {"type": "sculpture", "size_bytes": 0}, "validation_error"),
        ("create_upload", {"type": "cut_file"}, "asset_type_not_uploadable"),
        ("list_assets", {"cursor": "nonsense"}, "bad_request"),
        ("rotate_api_key", {"api_key_id": NOBODYS, "prefix": "", "secret_sha256": ""}, None),
        ("no_such_function", {}, "upstream_error"),
        ("get_asset", {"asset_id": "nonsense"}, "internal_error"),
    ],
)
def test_answers_and_refusals_are_the_same(
    owner: Caller, function: str, arguments: dict[str, Any], code: str | None
) -> None:
    project = owner.project
    rest = f"{project.supabase_url}/rest/v1"

    official, hot = both(rest, project.publishable_key, function, arguments, token=owner.credential, inputs="query")

    assert official == hot
    assert code is None or (isinstance(hot, tuple) and hot[0] == code)


@pytest.mark.parametrize("token", ["nonsense", "a.b.c"])
def test_a_token_that_is_none_is_refused_alike(project: Project, token: str) -> None:
    rest = f"{project.supabase_url}/rest/v1"

    official, hot = both(rest, project.publishable_key, "list_assets", {}, token=token)

    assert official == hot
    assert isinstance(hot, tuple)
    assert hot[0] == "unauthenticated"


class Upstream:
    """A server that answers every request with the same bytes, and counts connections that sent one."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self.asked = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads a request, answers if there is something to say, and closes."""
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        if self._answer is not None:
            writer.write(self._answer)
        writer.close()


def http(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (status.encode(), len(body), body)


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (http("502 Bad Gateway", b"<html>"), "upstream_unavailable"),
        (http("503 Service Unavailable", b"{}"), "upstream_unavailable"),
        (http("504 Gateway Timeout", b""), "upstream_timeout"),
        (http("544 Database Timeout", b"{}"), "upstream_timeout"),
        (http("500 Internal Server Error", b"<html>"), "upstream_error"),
        (http("400 Bad Request", b'{"code":"","message":"","details":null,"hint":null}'), "upstream_unavailable"),
        (http("500 Internal Server Error", b'{"code":"57P01","message":"terminating"}'), "upstream_unavailable"),
        (http("403 Forbidden", b'{"code":"42501","message":"permission denied"}'), "internal_error"),
        (None, "upstream_unavailable"),
    ],
)
def test_trouble_on_the_way_is_told_and_tried_again_alike(answer: bytes | None, code: str, idempotent: bool) -> None:
    asked = []

    async def through(way: str) -> tuple[object, int]:
        upstream = Upstream(answer)
        server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, pool.http_pool() as connections:
            postgrest = Postgrest(connections, url=url, publishable_key="key")
            call = postgrest.call if way == "official" else postgrest.call_hot
            with pytest.raises(ApiError) as refused:
                await call("list_assets", {}, token="t", idempotent=idempotent)
            asked.append(upstream.asked)
            return (refused.value.code, refused.value.text, refused.value.headers), upstream.asked

    official, hot = asyncio.run(through("official")), asyncio.run(through("hot"))

    assert official == hot
    assert hot[0][0] == code  # type: ignore[index]
    assert hot[1] == (2 if answer is None and idempotent else 1)


def test_a_server_that_is_not_there_is_unavailable_alike() -> None:
    url = f"http://127.0.0.1:{Ports.free().gateway}"

    official, hot = both(url, "key", "list_assets", {}, token="t")

    assert official == hot
    assert isinstance(hot, tuple)
    assert hot[0] == "upstream_unavailable"


def test_a_server_that_is_silent_is_a_timeout_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "TIMEOUT", httpx.Timeout(0.3, connect=0.3, pool=0.3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        official, hot = both(url, "key", "list_assets", {}, token="t")

    assert official == hot
    assert isinstance(hot, tuple)
    assert hot[0] == "upstream_timeout"


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"{}", b"[]", b"null", b'{"url":7}', b'{"url":"/object/x"}', b'{"url":"/object/x?token=a.b.c"}'],
)
@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
def test_an_answer_that_is_none_of_storages_is_an_upstream_error(answer: bytes, status: str) -> None:
    async def run() -> ApiError:
        server = await asyncio.start_server(Upstream(http(status, answer)).serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/storage/v1/"
        async with server, pool.http_pool() as connections:
            with pytest.raises(ApiError) as refused:
                await Storage(connections, url=url, publishable_key="key").sign_upload("t", "assets", NOBODYS)
            return refused.value

    assert asyncio.run(run()).code == "upstream_error"
