"""The time limit for requests to arrive: slow connections are closed, and others are kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from uvicorn.server import ServerState

from assetdock_server import protocol
from assetdock_server.protocol import BoundedHttp
from tests.service.scripted_upstream import message

ARRIVAL_SECONDS = 0.3
PATIENT_SECONDS = 10.0
WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def soon(either_loop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little time to arrive in, on either event loop."""
    monkeypatch.setattr(protocol, "ARRIVAL_SECONDS", ARRIVAL_SECONDS)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Answers once the body is there, and, at /slowly, longer after it than a request may take to arrive; at /at-once
    without waiting for anything."""
    request = Request(scope, receive)
    body = b"" if request.url.path == "/at-once" else await request.body()
    if request.url.path == "/slowly":
        await asyncio.sleep(3 * ARRIVAL_SECONDS)
    await PlainTextResponse(body)(scope, receive, send)


@asynccontextmanager
async def client() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server with our protocol, whose kept connections may idle for as long as a test takes."""
    config = uvicorn.Config(_application, lifespan="off", log_config=None, timeout_keep_alive=60)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHttp(config=config, server_state=ServerState(), app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        yield reader, writer
    finally:
        writer.close()
        server.close()


async def answered(reader: asyncio.StreamReader) -> bytes:
    """The body of the next answer."""
    return (await message(reader))[1]


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Reads to the end: 400 comes before it, to what can't be a request."""
    with suppress(ConnectionError):
        await reader.read()


def test_a_client_that_will_send_no_more_has_its_answer() -> None:
    async def walk() -> None:
        async with client() as (reader, writer), asyncio.timeout(PATIENT_SECONDS):
            writer.write(b"GET /at-once HTTP/1.1\r\nHost: x\r\n\r\n")
            writer.write_eof()
            assert await answered(reader) == b""
            await until_closed(reader)

    asyncio.run(walk())


LATE = {
    "nothing": [],
    "half a head": [WHOLE[:20]],
    "half a body": [WHOLE[:-1]],
    "half a second request": [WHOLE, None, WHOLE[:-1]],
    "half a second request, behind the first": [WHOLE + WHOLE[:-1], None],
    "no request after the first": [WHOLE, None, b"\r\n"],
    "a byte now and then": [part for byte in WHOLE for part in (bytes([byte]), 0.1)],
}


@pytest.mark.parametrize("sent", LATE.values(), ids=LATE)
def test_a_request_that_does_not_arrive_is_not_waited_for(sent: list[bytes | float | None]) -> None:
    async def walk() -> None:
        async with client() as (reader, writer), asyncio.timeout(PATIENT_SECONDS):
            for part in sent:
                if part is None:
                    assert await answered(reader) == b"{}"
                elif isinstance(part, float):
                    await asyncio.sleep(part)
                elif not reader.at_eof():
                    writer.write(part)
            await until_closed(reader)

    asyncio.run(walk())


KEPT = {
    "whole": [WHOLE],
    "whole in two parts": [WHOLE[:30], WHOLE[30:]],
    "byte by byte": [WHOLE[place : place + 1] for place in range(len(WHOLE))],
    "answered slowly": [WHOLE.replace(b"/", b"/slowly", 1)],
}


@pytest.mark.parametrize("sent", KEPT.values(), ids=KEPT)
def test_a_request_that_arrived_is_answered_however_long_that_takes_and_its_connection_is_kept(
    sent: list[bytes],
) -> None:
    async def walk() -> None:
        async with client() as (reader, writer), asyncio.timeout(PATIENT_SECONDS):
            for part in sent:
                writer.write(part)
                await asyncio.sleep(0)
            assert await answered(reader) == b"{}"
            await asyncio.sleep(2 * ARRIVAL_SECONDS)
            writer.write(WHOLE + WHOLE)
            assert [await answered(reader), await answered(reader)] == [b"{}", b"{}"]

    asyncio.run(walk())
