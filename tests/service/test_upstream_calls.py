"""Direct calls to an upstream server: what they send, what they accept, and their limits."""

import asyncio
import contextlib
import gzip
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assetdock_server import metrics
from assetdock_server.errors import ApiError
from assetdock_server.gateways.auth import MAX_JWKS_BYTES, fetch_jwks
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from devstack.ports import Ports
from tests.certificate import localhost_certificate
from tests.polling import eventually_in_loop
from tests.service.scripted_upstream import (
    ANYTHING,
    SLOW_ECHO,
    Script,
    Upstream,
    always,
    call,
    client,
    echoing,
    last_response,
    response,
    upstream,
)

pytestmark = pytest.mark.usefixtures("either_loop")

CHUNKED = b'HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"


def responding(*responses: bytes) -> Script:
    """Responds with these in turn, a few bytes at a time."""
    left = list(responses)

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            await served.request(reader)
            data = left.pop(0)
            for start in range(0, len(data), 5):
                writer.write(data[start : start + 5])
                await writer.drain()
                await asyncio.sleep(0)
        await reader.read()

    return script


async def silent(served: Upstream, _: int, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    await served.request(reader)
    await reader.read()


def code_of(error: pytest.ExceptionInfo[ApiError]) -> str:
    return error.value.code


def test_calls_share_a_connection_and_accept_every_framing() -> None:
    script = responding(
        response(b'{"n":1}'), CHUNKED, response(b"", b"204 No Content"), EARLY_HINTS + response(b"[]", b"200 OK")
    )

    async def run() -> tuple[list[Any], Upstream]:
        async with upstream(script) as served, client(served.url) as postgrest:
            return [await call(postgrest, "é") for _ in range(4)], served

    results, served = asyncio.run(run())

    assert results == [{"n": 1}, {"a": 1}, None, []]
    assert served.connections == 1
    head, _, body = served.requests[0].partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    assert line == b"POST /rest/v1/rpc/f HTTP/1.1"
    assert {header for header in headers if not header.lower().startswith((b"accept: ", b"user-agent: "))} == {
        b"Host: localhost:%d" % served.port,
        b"apikey: key",
        b"Authorization: Bearer token",
        b"Content-Profile: assetdock",
        b"Content-Type: application/json",
        b"Content-Length: 10",
    }
    assert body == b'{"n":"\xc3\xa9"}'


def test_concurrent_calls_use_at_most_max_connections() -> None:
    async def run() -> Upstream:
        async with upstream(SLOW_ECHO) as served, client(served.url, max_connections=3) as postgrest:
            results = await asyncio.gather(*(call(postgrest, number) for number in range(9)))
            assert [result["n"] for result in results] == list(range(9))
            return served

    assert asyncio.run(run()).connections == 3


def test_official_calls_have_connections_of_their_own() -> None:
    async def run() -> None:
        release = asyncio.Event()
        async with (
            upstream(echoing(release.wait)) as served,
            client(served.url, max_official_connections=1, pool_timeout=0.2) as postgrest,
        ):
            first = asyncio.create_task(postgrest.call("f", {"n": 1}, ANYTHING, token="token"))
            await eventually_in_loop(lambda: served.requests)
            with pytest.raises(ApiError) as error:
                await postgrest.call("f", {"n": 2}, ANYTHING, token="token")
            assert code_of(error) == "upstream_unavailable"
            direct = asyncio.create_task(call(postgrest, 3))
            await eventually_in_loop(lambda: len(served.requests) == 2)
            release.set()
            assert [await first, await direct] == [{"n": 1}, {"n": 3}]

    asyncio.run(run())


def test_a_call_without_a_connection_in_time_is_unavailable_and_not_retried() -> None:
    async def run() -> None:
        release = asyncio.Event()
        async with (
            upstream(echoing(release.wait)) as served,
            client(served.url, max_connections=1, pool_timeout=0.5) as postgrest,
        ):
            first = asyncio.create_task(call(postgrest, 1))
            await eventually_in_loop(lambda: served.requests)
            started = time.monotonic()
            with pytest.raises(ApiError) as error:
                await call(postgrest, 2, idempotent=True)
            assert code_of(error) == "upstream_unavailable"
            assert 0.4 < time.monotonic() - started < 0.95  # one pool timeout, not two
            release.set()
            assert await first == {"n": 1}
            assert await call(postgrest, 3) == {"n": 3}
            assert len(served.requests) == 2

    asyncio.run(run())


def test_retries_broken_connections_of_idempotent_calls_once() -> None:
    async def closing(served: Upstream, _: int, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await served.request(reader)

    async def requests(*, idempotent: bool) -> int:
        async with upstream(closing) as served, client(served.url) as postgrest:
            with pytest.raises(ApiError) as error:
                await call(postgrest, idempotent=idempotent)
            assert code_of(error) == "upstream_unavailable"
            return len(served.requests)

    assert asyncio.run(requests(idempotent=True)) == 2
    assert asyncio.run(requests(idempotent=False)) == 1


def test_concurrent_calls_each_have_their_own_total_timeout() -> None:
    async def run() -> list[str]:
        timed_out = []

        async def time_out(postgrest: Postgrest, name: str) -> None:
            with pytest.raises(ApiError) as error:
                await call(postgrest, idempotent=True)
            assert code_of(error) == "upstream_timeout"
            timed_out.append(name)

        async with (
            upstream(silent) as served,
            client(served.url, total_timeout=0.9) as slow,
            client(served.url, total_timeout=0.3) as fast,
            asyncio.timeout(10),
        ):
            async with asyncio.TaskGroup() as calls:
                calls.create_task(time_out(slow, "slow"))
                calls.create_task(time_out(fast, "fast"))
                await asyncio.sleep(0.2)
                calls.create_task(time_out(slow, "later"))
            assert len(served.requests) == 3  # a timeout is not retried
        return timed_out

    assert asyncio.run(run()) == ["fast", "slow", "later"]


def test_the_total_timeout_includes_the_wait_for_a_connection() -> None:
    async def run() -> float:
        async with (
            upstream(echoing(lambda: asyncio.sleep(0.5))) as served,
            client(served.url, max_connections=1, total_timeout=0.8, pool_timeout=5) as postgrest,
        ):
            started = time.monotonic()
            first = asyncio.create_task(call(postgrest, 1))
            await eventually_in_loop(lambda: served.requests)
            with pytest.raises(ApiError) as error:
                await call(postgrest, 2)
            assert code_of(error) == "upstream_timeout"
            assert await first == {"n": 1}
            return time.monotonic() - started

    assert asyncio.run(run()) < 1.25


@pytest.fixture
def full_listener() -> Iterator[int]:
    """The port of a listener that completes no further handshake: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_a_connect_timeout_is_unavailable(full_listener: int) -> None:
    async def run() -> float:
        started = time.monotonic()
        async with client(f"http://127.0.0.1:{full_listener}", connect_timeout=0.3) as postgrest:
            with pytest.raises(ApiError) as error:
                await call(postgrest)
        assert code_of(error) == "upstream_unavailable"
        return time.monotonic() - started

    assert 0.2 < asyncio.run(run()) < 2


def test_an_address_that_does_not_respond_delays_a_call_only_briefly(
    full_listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> tuple[Any, float]:
        async with (
            upstream(always(response(b"1"))) as served,
            client(f"http://two-addresses.test:{served.port}", connect_timeout=60) as postgrest,
        ):

            async def two_addresses(_: object, host: str, port: int, **__: object) -> list[Any]:
                addresses = [(host, port)]  # uvloop resolves addresses again when it connects
                if host == "two-addresses.test":
                    addresses = [("127.0.0.1", full_listener), ("127.0.0.1", served.port)]
                return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", each) for each in addresses]

            monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", two_addresses)
            started = time.monotonic()
            return await call(postgrest), time.monotonic() - started

    result, seconds = asyncio.run(run())
    assert result == 1
    assert seconds < 30, "the second address is tried before the first times out"


@pytest.mark.parametrize("token", ["t\r\nX-Forged: yes", "t\n", "t\r"])
def test_rejects_a_token_that_would_add_a_header(token: str) -> None:
    async def run() -> int:
        async with upstream(SLOW_ECHO) as served, client(served.url) as postgrest:
            with pytest.raises(ValueError, match="header"):
                await postgrest.call_directly("f", {}, ANYTHING, token=token)
            return served.connections

    assert asyncio.run(run()) == 0


@pytest.mark.parametrize("name", ["x HTTP/1.1\r\nX-Forged: yes", "x\r\n", "\N{SNOWMAN}", "x y"])
def test_rejects_a_name_that_would_change_the_request(name: str) -> None:
    async def run() -> int:
        async with upstream(SLOW_ECHO) as served, http_pool() as pool:
            with pytest.raises(ValueError, match="path"):
                await Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="key").sign_upload(
                    "token", "assets", name
                )
            return served.connections

    assert asyncio.run(run()) == 0


def test_uses_no_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    async def run() -> tuple[Any, Any]:
        async with upstream(SLOW_ECHO) as served, client(served.url) as postgrest:
            return await call(postgrest, 1), await postgrest.call("f", {"n": 2}, ANYTHING, token="token")

    assert asyncio.run(run()) == ({"n": 1}, {"n": 2})


def test_follows_no_redirect_and_keeps_no_cookie() -> None:
    redirect = response(b"", b"307 Temporary Redirect", b"Location: /elsewhere\r\nSet-Cookie: a=b; Path=/\r\n")

    async def run() -> Upstream:
        async with upstream(responding(redirect, response(b"1"))) as served, client(served.url) as postgrest:
            with pytest.raises(ApiError) as error:
                await call(postgrest)
            assert code_of(error) == "upstream_error"
            assert await call(postgrest) == 1
            return served

    served = asyncio.run(run())
    assert [request.split(b" ")[1] for request in served.requests] == [b"/rest/v1/rpc/f"] * 2
    assert b"cookie" not in served.requests[1].lower()


def test_neither_asks_for_nor_decompresses_compressed_responses() -> None:
    compressed = response(gzip.compress(b'{"n":1}'), extra=b"Content-Encoding: gzip\r\n")

    async def run() -> Upstream:
        async with upstream(responding(compressed)) as served, client(served.url) as postgrest:
            with pytest.raises(ApiError) as error:
                await call(postgrest)
            assert code_of(error) == "upstream_error"
            return served

    assert b"accept-encoding" not in asyncio.run(run()).requests[0].lower()


def test_a_response_that_changes_the_protocol_is_an_upstream_error() -> None:
    """After 101 the connection carries another protocol, so it is never used again."""
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"
    problems: list[dict[str, Any]] = []

    async def run() -> int:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: problems.append(context))
        async with upstream(always(switch)) as served, client(served.url, total_timeout=20) as postgrest:
            for _ in range(2):
                with pytest.raises(ApiError) as error:
                    await call(postgrest, idempotent=True)
                assert code_of(error) == "upstream_error"
            with pytest.raises(ApiError) as error:
                await postgrest.call("f", {"n": 1}, ANYTHING, token="token")
            assert code_of(error) == "upstream_error"
            return served.connections

    assert asyncio.run(run()) == 3
    assert problems == []


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2"])
def test_verifies_the_certificate_and_the_name_of_the_server(
    host: str, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = localhost_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))

    async def run() -> Any:
        async with upstream(SLOW_ECHO, context) as served, client(f"https://{host}:{served.port}") as postgrest:
            return await call(postgrest, 1)

    if trusted and host != "127.0.0.2":
        assert asyncio.run(run()) == {"n": 1}
    else:
        with pytest.raises(ApiError) as error:
            asyncio.run(run())
        assert code_of(error) == "upstream_unavailable"


def test_a_server_that_is_down_is_unavailable() -> None:
    async def run() -> None:
        async with client(f"http://localhost:{Ports.free().gateway}") as postgrest:
            await call(postgrest)

    with pytest.raises(ApiError) as error:
        asyncio.run(run())
    assert code_of(error) == "upstream_unavailable"


@pytest.mark.parametrize(
    ("key_set", "result"),
    [
        (response(b'{"keys":[]}'), {"keys": []}),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"key\r\n6\r\ns":[]}\r\n0\r\n\r\n', {"keys": []}),
        (response(b'{"keys":[]}'.ljust(MAX_JWKS_BYTES)), {"keys": []}),
        (response(b'{"keys":[]}'.ljust(MAX_JWKS_BYTES + 1)), "upstream_error"),
        (response(b'{"keys":[]}', b"404 Not Found"), "upstream_error"),
        (response(b"", b"307 Temporary Redirect", b"Location: /elsewhere\r\n"), "upstream_error"),
        (response(b"", b"503 Service Unavailable"), "upstream_unavailable"),
        (response(b"", b"521 Web Server Is Down"), "upstream_unavailable"),
        (response(b""), "upstream_error"),
        (response(b"<html>"), "upstream_error"),
        (response(b"null"), "upstream_error"),
        (response(b'{"keys":{}}'), "upstream_error"),
    ],
    ids=[
        "one piece",
        "chunks",
        "largest",
        "too large",
        "not found",
        "redirect",
        "unavailable",
        "proxy",
        "empty",
        "HTML",
        "null",
        "no list",
    ],
)
def test_fetches_a_key_set_of_limited_size(key_set: bytes, result: object) -> None:
    async def run() -> object:
        async with upstream(always(key_set)) as served, http_pool() as pool:
            try:
                return await fetch_jwks(pool, f"{served.url}/auth/v1/.well-known/jwks.json")
            except ApiError as error:
                return error.code

    assert asyncio.run(run()) == result


def test_metrics_count_calls_in_flight_failures_and_seconds() -> None:
    def sample(name: str, **labels: str) -> float:
        return metrics.REGISTRY.get_sample_value(name, labels) or 0.0

    failures = {"server": "database", "code": "upstream_unavailable"}
    seconds = {"server": "database", "operation": "f"}
    failed = sample("assetdock_upstream_failures_total", **failures)
    observed = sample("assetdock_upstream_seconds_count", **seconds)
    in_flight = sample("assetdock_upstream_calls_in_flight")

    async def run() -> None:
        release = asyncio.Event()

        async def script(
            served: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await served.request(reader)
            await release.wait()
            writer.write(last_response("503 Service Unavailable", b"") if number == 1 else response(b"1"))

        async with upstream(script) as served, client(served.url, max_connections=1) as postgrest:
            assert sample("assetdock_upstream_connection_limit") == 1
            calls = [asyncio.create_task(call(postgrest)) for _ in range(2)]
            await eventually_in_loop(lambda: served.requests)
            assert sample("assetdock_upstream_calls_in_flight") == in_flight + 2  # one of them waits for a connection
            release.set()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(run())

    assert sample("assetdock_upstream_failures_total", **failures) == failed + 1
    assert sample("assetdock_upstream_seconds_count", **seconds) == observed + 2
    assert sample("assetdock_upstream_calls_in_flight") == in_flight
