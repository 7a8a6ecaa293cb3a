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
DEADLINE_SECONDS = 10.0
WHOLE = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(autouse=True)
def short_time_limit(either_loop: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short time limit, on asyncio's and uvloop's event loop."""
    monkeypatch.setattr(protocol, "ARRIVAL_SECONDS", ARRIVAL_SECONDS)


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Echoes the body. /slowly responds later than the time limit for requests; /at-once does not wait for a body."""
    request = Request(scope, receive)
    body = b"" if request.url.path == "/at-once" else await request.body()
    if request.url.path == "/slowly":
        await asyncio.sleep(3 * ARRIVAL_SECONDS)
    await PlainTextResponse(body)(scope, receive, send)


@asynccontextmanager
async def client() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server with our protocol. Idle connections stay open longer than a test takes."""
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


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """The body of the next response."""
    return (await message(reader))[1]


async def until_closed(reader: asyncio.StreamReader) -> None:
    """Reads until the server closes the connection. An invalid request gets 400 first."""
    with suppress(ConnectionError):
        await reader.read()


def test_a_half_closed_connection_gets_its_response() -> None:
    async def scenario() -> None:
        async with client() as (reader, writer), asyncio.timeout(DEADLINE_SECONDS):
            writer.write(b"GET /at-once HTTP/1.1\r\nHost: x\r\n\r\n")
            writer.write_eof()
            assert await read_body(reader) == b""
            await until_closed(reader)

    asyncio.run(scenario())


LATE = {
    "nothing": [],
    "half a head": [WHOLE[:20]],
    "half a body": [WHOLE[:-1]],
    "half a second request": [WHOLE, None, WHOLE[:-1]],
    "half a second request, behind the first": [WHOLE + WHOLE[:-1], None],
    "no request after the first": [WHOLE, None, b"\r\n"],
    "one byte every 0.1 seconds": [part for byte in WHOLE for part in (bytes([byte]), 0.1)],
}


@pytest.mark.parametrize("sent", LATE.values(), ids=LATE)
def test_closes_a_connection_whose_request_does_not_arrive_in_time(sent: list[bytes | float | None]) -> None:
    async def scenario() -> None:
        async with client() as (reader, writer), asyncio.timeout(DEADLINE_SECONDS):
            for part in sent:
                if part is None:
                    assert await read_body(reader) == b"{}"
                elif isinstance(part, float):
                    await asyncio.sleep(part)
                elif not reader.at_eof():
                    writer.write(part)
            await until_closed(reader)

    asyncio.run(scenario())


KEPT = {
    "whole": [WHOLE],
    "whole in two parts": [WHOLE[:30], WHOLE[30:]],
    "byte by byte": [WHOLE[offset : offset + 1] for offset in range(len(WHOLE))],
    "slow response": [WHOLE.replace(b"/", b"/slowly", 1)],
}


@pytest.mark.parametrize("sent", KEPT.values(), ids=KEPT)
def test_a_slow_response_does_not_close_the_connection(sent: list[bytes]) -> None:
    async def scenario() -> None:
        async with client() as (reader, writer), asyncio.timeout(DEADLINE_SECONDS):
            for part in sent:
                writer.write(part)
                await asyncio.sleep(0)
            assert await read_body(reader) == b"{}"
            await asyncio.sleep(2 * ARRIVAL_SECONDS)
            writer.write(WHOLE + WHOLE)
            assert [await read_body(reader), await read_body(reader)] == [b"{}", b"{}"]

    asyncio.run(scenario())
