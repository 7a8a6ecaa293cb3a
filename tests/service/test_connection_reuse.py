"""Connections between two calls: reused, closed when idle, and never out of step."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.postgrest import Postgrest
from tests.polling import DEADLINE, eventually_in_loop
from tests.service.scripted_upstream import SLOW_ECHO, Script, Upstream, call, client, echoing, response, upstream

pytestmark = pytest.mark.usefixtures("either_loop")

UNAVAILABLE = "upstream_unavailable"
TIMEOUT = "upstream_timeout"
Between = Callable[[Upstream], Awaitable[object]]


async def outcome(postgrest: Postgrest, *, idempotent: bool = False) -> object:
    """The result of a call, or the code of its error."""
    try:
        return await call(postgrest, idempotent=idempotent)
    except ApiError as error:
        return error.code


def call_twice(script: Script, between: Between, **limits: Any) -> tuple[list[object], Upstream]:
    """The outcomes of two calls with `between` between them, and the server."""

    async def run() -> tuple[list[object], Upstream]:
        async with upstream(script) as served, client(served.url, **limits) as postgrest:
            first = await outcome(postgrest)
            await between(served)
            # The client may learn of a closed connection only by the call.
            return [first, await outcome(postgrest, idempotent=True)], served

    return asyncio.run(run())


async def first_connection_closes(served: Upstream) -> None:
    await eventually_in_loop(lambda: served.open_connections == 0)


def first_then_well(first: bytes, *, closing: bool = False) -> Script:
    """The first connection responds with these bytes to everything, later ones with valid JSON."""

    async def script(served: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            writer.write(first if number == 1 else response(b'"well"'))
            await writer.drain()
            if number == 1 and closing:
                return

    return script


@pytest.mark.parametrize(
    ("script", "first"),
    [
        (first_then_well(response(b"1", extra=b"Connection: close\r\n")), 1),
        (first_then_well(response(b"1"), closing=True), 1),
        (first_then_well(response(b"1") + response(b"2")), 1),
        (first_then_well(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"half', closing=True), UNAVAILABLE),
        (
            first_then_well(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n1\r\n", closing=True),
            UNAVAILABLE,
        ),
        (first_then_well(b"HTTP/1.1 200 OK\r\nContent-", closing=True), UNAVAILABLE),
        (first_then_well(b"", closing=True), UNAVAILABLE),
        (first_then_well(b"SSH-2.0-OpenSSH\r\n"), UNAVAILABLE),
        (first_then_well(b'HTTP/1.1 200 OK\r\n\r\n"half', closing=True), UNAVAILABLE),
        (first_then_well(b""), TIMEOUT),
        (first_then_well(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"half'), TIMEOUT),
    ],
    ids=[
        *("Connection: close", "closed", "excess bytes", "truncated", "truncated chunks", "truncated head"),
        *("no response", "not HTTP", "truncated without a length", "silent", "silent within the body"),
    ],
)
def test_a_connection_that_may_be_out_of_step_is_not_reused(script: Script, first: object) -> None:
    outcomes, served = call_twice(script, first_connection_closes, total_timeout=0.7 if first == TIMEOUT else 5)

    assert outcomes == [first, "well"]
    assert served.connections == 2


def test_an_unrequested_response_closes_an_idle_connection() -> None:
    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(response(b"1"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(response(b"2"))
        await served.request(reader)

    outcomes, served = call_twice(script, first_connection_closes)

    assert outcomes == [1, 1]
    assert served.connections == 2


def test_a_connection_that_the_server_closes_as_the_call_is_sent_is_retried_only_for_idempotent_calls() -> None:
    async def script(served: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(response(b"1"))
        await served.request(reader)
        if number == 1:
            return  # the second request on it arrives and has no response
        writer.write(response(b"2"))

    async def second(*, idempotent: bool) -> object:
        async with upstream(script) as served, client(served.url) as postgrest:
            assert await call(postgrest) == 1
            return await outcome(postgrest, idempotent=idempotent)

    assert asyncio.run(second(idempotent=False)) == UNAVAILABLE
    assert asyncio.run(second(idempotent=True)) == 1  # on a connection of its own


def test_an_expired_idle_connection_is_closed_and_not_reused() -> None:
    script = first_then_well(response(b"1"))

    outcomes, served = call_twice(script, first_connection_closes, pool_idle_timeout=0.1)

    assert outcomes == [1, "well"]
    assert served.connections == 2


def test_all_idle_connections_expire() -> None:
    async def run() -> None:
        async with upstream(SLOW_ECHO) as served, client(served.url, pool_idle_timeout=0.5) as postgrest:
            await asyncio.gather(*(call(postgrest, 1) for _ in range(5)))
            assert served.open_connections == 5
            await eventually_in_loop(lambda: served.open_connections == 0)

    asyncio.run(run())


def test_idle_connections_end_with_their_pool() -> None:
    async def use(served: Upstream) -> None:
        async with client(served.url, pool_idle_timeout=60) as postgrest:
            await asyncio.gather(*(call(postgrest, 1) for _ in range(3)))

    async def run() -> None:
        async with upstream(SLOW_ECHO) as served:
            await use(served)
            await eventually_in_loop(lambda: served.open_connections == 0)

    asyncio.run(run())


def test_the_response_to_a_cancelled_call_reaches_no_other_call() -> None:
    async def run() -> list[Any]:
        release = asyncio.Event()
        async with upstream(echoing(release.wait)) as served, client(served.url) as postgrest:
            cancelled = asyncio.create_task(call(postgrest, "cancelled"))
            await eventually_in_loop(lambda: served.requests)
            cancelled.cancel()
            others = [asyncio.create_task(call(postgrest, number)) for number in range(3)]
            await eventually_in_loop(lambda: len(served.requests) == 4)
            release.set()
            return [(await each)["n"] for each in others]

    assert asyncio.run(run()) == [0, 1, 2]


def test_a_cancelled_call_frees_its_connection_at_once() -> None:
    async def silent_then_echo(
        served: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await served.request(reader)
        if number == 1:
            await reader.read()
        writer.write(response(b'"well"'))

    async def run() -> object:
        async with (
            upstream(silent_then_echo) as served,
            client(served.url, max_connections=1, total_timeout=DEADLINE) as postgrest,
        ):
            cancelled = asyncio.create_task(call(postgrest))
            await eventually_in_loop(lambda: served.requests)
            cancelled.cancel()
            return await asyncio.wait_for(call(postgrest), DEADLINE / 2)

    assert asyncio.run(run()) == "well"
