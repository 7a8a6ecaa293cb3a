"""A server on loopback whose connections do what a test writes down for them, ours to call it by, and HTTP messages by
hand."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from assetdock_server.gateways.wire import Server

HEADERS = {"apikey": "key", "Authorization": "Bearer token"}
Script = Callable[["Upstream", int, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Upstream:
    """A server whose connections each follow a script; remembers how many there were, and what was asked."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request on a connection. Raises IncompleteReadError at its end."""
        whole = b"".join(await message(reader))
        self.requests.append(whole)
        return whole

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            await self._script(self, self.connections, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def upstream(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """The server, while it runs."""
    served = Upstream(script)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


def echoing(wait: Callable[[], Awaitable[object]]) -> Script:
    """Answers each request with its own body, once the wait for each is over."""

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await served.request(reader)
            await wait()
            writer.write(answer(request.rpartition(b"\r\n")[2]))

    return script


SLOWLY = echoing(lambda: asyncio.sleep(0.05))


def server(
    port: int,
    *,
    scheme: str = "http",
    tls: ssl.SSLContext | None = None,
    places: int = 200,
    seconds: float = 5,
    connect_seconds: float = 2,
) -> Server:
    """Ours to call it by."""
    return Server(
        f"{scheme}://localhost:{port}/rest/v1/",
        tls=tls or ssl.create_default_context(),
        places=asyncio.Semaphore(places),
        seconds=seconds,
        connect_seconds=connect_seconds,
    )


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The next request or answer that says its length: head and body. Raises IncompleteReadError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


def answer(body: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    """An answer that says its length."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)
