"""A loopback server whose connections follow a script, a client for it, and HTTP messages as bytes."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from pydantic import TypeAdapter

from assetdock_server.gateways.pool import Limits, http_pool
from assetdock_server.gateways.postgrest import Postgrest

ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
Script = Callable[["Upstream", int, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Upstream:
    """A server whose connections each follow a script. Records its connections and requests."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.connections = 0
        self.open_connections = 0
        self.requests: list[bytes] = []
        self.port = 0
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """The next request on a connection. Raises IncompleteReadError at its end."""
        whole = b"".join(await message(reader))
        self.requests.append(whole)
        return whole

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Accepts a connection."""
        task = asyncio.create_task(self._run(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def end(self) -> None:
        """Closes all connections."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            await self._script(self, self.connections, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@asynccontextmanager
async def upstream(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    """A running server."""
    served = Upstream(script)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        await served.end()


@asynccontextmanager
async def client(url: str, **limits: Any) -> AsyncIterator[Postgrest]:
    """A gateway to the server at this URL."""
    async with http_pool(Limits(**limits)) as pool:
        yield Postgrest(pool, url=f"{url}/rest/v1", publishable_key="key")


async def call(
    postgrest: Postgrest, document: Any = None, result: TypeAdapter[Any] = ANYTHING, *, idempotent: bool = False
) -> Any:
    """Calls function `f` directly. The document is `{"n": …}`."""
    return await postgrest.call_directly("f", {"n": document}, result, token="token", idempotent=idempotent)


def echoing(wait: Callable[[], Awaitable[object]]) -> Script:
    """Responds to each request with its own body, after `wait`."""

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await served.request(reader)
            await wait()
            writer.write(response(request.rpartition(b"\r\n")[2]))

    return script


SLOW_ECHO = echoing(lambda: asyncio.sleep(0.05))


def always(data: bytes | None) -> Script:
    """Responds to the first request of each connection with these bytes, or with none, and closes the connection."""

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        served.requests.append(b"")
        if data is not None:
            writer.write(data)

    return script


async def message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next message that has a Content-Length. Raises IncompleteReadError at the end."""
    head = await reader.readuntil(b"\r\n\r\n")
    return head, await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


def response(body: bytes, status: bytes = b"200 OK", extra: bytes = b"") -> bytes:
    """A response with a Content-Length."""
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(body), extra, body)


def last_response(status: str, body: bytes) -> bytes:
    """A response after which the connection closes."""
    return response(body, status.encode(), b"Connection: close\r\n")
