"""The connections of the hot calls between two of them: kept, let go, and never mixed up."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from assetdock_server.gateways import wire
from assetdock_server.gateways.wire import BrokenError, Server
from tests.polling import comes_about
from tests.service.scripted_upstream import HEADERS, SLOWLY, Script, Upstream, answer, echoing, server, upstream

pytestmark = pytest.mark.usefixtures("either_loop")


async def _out_of_use(ours: Server) -> None:
    """No kept connection can be used any more: the server ended it, or said what nobody asked for."""
    await comes_about(lambda: not any(kept.is_reusable for kept in ours._idle))


def asked_twice(
    script: Script, *, seconds: float = 5, between: Callable[[Server], Awaitable[None]] = _out_of_use
) -> tuple[list[object], Upstream]:
    """What came of two calls, the second made once `between` has passed, and the server they went to. `seconds` is what
    the first has for itself."""

    async def outcome(ours: Server) -> object:
        try:
            return await ours.post("rpc/f", b"{}", HEADERS)
        except (BrokenError, TimeoutError) as error:
            return type(error)

    async def walk() -> tuple[list[object], Upstream]:
        async with upstream(script) as served:
            ours = server(served.port, seconds=seconds)
            first = await outcome(ours)
            await between(ours)
            ours._seconds = 5
            second = await outcome(ours)
            ours.close()
        return [first, second], served

    return asyncio.run(walk())


def first_then_well(first: bytes, *, closing: bool = False, silent: bool = False) -> Script:
    """The first connection answers `first` to everything, later ones as they should."""

    async def script(served: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await served.request(reader)
            writer.write(first if number == 1 else answer(b"well"))
            await writer.drain()
            if number == 1 and closing:
                return
            if number == 1 and silent:
                await asyncio.sleep(0.7)  # longer than the call waits
                writer.write(answer(b"late"))

    return script


WELL = (200, b"well")


@pytest.mark.parametrize(
    ("script", "first"),
    [
        (first_then_well(answer(b"1", extra=b"Connection: close\r\n")), (200, b"1")),
        (first_then_well(answer(b"1"), closing=True), (200, b"1")),
        (first_then_well(answer(b"1") + answer(b"nobody asked")), (200, b"1")),
        (first_then_well(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", closing=True), BrokenError),
        (first_then_well(b"", closing=True), BrokenError),
        (first_then_well(b"SSH-2.0-OpenSSH\r\n"), BrokenError),
        (first_then_well(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", closing=True), BrokenError),
        (first_then_well(b"", silent=True), TimeoutError),
        (first_then_well(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", silent=True), TimeoutError),
    ],
    ids=[
        *("said to close", "closed", "more than was asked for", "cut off", "no answer", "no HTTP", "no length"),
        *("silent", "half and silent"),
    ],
)
def test_a_connection_that_may_be_out_of_step_is_not_used_again(script: Script, first: object) -> None:
    done, served = asked_twice(script, seconds=0.5 if first is TimeoutError else 5)

    assert done == [first, WELL]
    assert served.connections == 2


def test_what_comes_while_nothing_was_asked_ends_the_connection() -> None:
    async def script(served: Upstream, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(answer(b"1"))
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(answer(b"unasked"))
        await served.request(reader)

    done, served = asked_twice(script)

    assert done == [(200, b"1"), (200, b"1")]
    assert served.connections == 2


def test_a_connection_left_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEPT_SECONDS", 0.01)
    monkeypatch.setattr(Server, "_let_go", lambda _: None)  # which comes by only now and then

    done, served = asked_twice(first_then_well(answer(b"1")), between=lambda _: asyncio.sleep(0.05))

    assert done == [(200, b"1"), WELL]
    assert served.connections == 2


def test_the_answer_to_a_call_that_was_given_up_goes_to_no_other() -> None:
    async def walk() -> tuple[list[bytes], Upstream]:
        told = asyncio.Event()
        async with upstream(echoing(told.wait)) as served:
            ours = server(served.port)
            given_up = asyncio.create_task(ours.post("rpc/f", b'"given up"', HEADERS))
            await comes_about(lambda: served.requests)
            given_up.cancel()
            told.set()
            bodies = [(await ours.post("rpc/f", b"%d" % number, HEADERS))[1] for number in range(3)]
            ours.close()
            return bodies, served

    bodies, served = asyncio.run(walk())

    assert bodies == [b"0", b"1", b"2"]
    assert served.connections == 2


def test_connections_that_nobody_uses_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "KEPT_SECONDS", 0.5)

    async def walk() -> None:
        async with upstream(SLOWLY) as served:
            ours = server(served.port)
            await asyncio.gather(*(ours.post("rpc/f", b"1", HEADERS) for _ in range(5)))
            assert len(ours._idle) == 5
            await comes_about(lambda: not ours._idle)  # a timer of its own does it
            ours.close()

    asyncio.run(walk())
