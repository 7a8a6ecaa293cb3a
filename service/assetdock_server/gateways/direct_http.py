"""POST over HTTP/1.1 on kept connections, for the calls that nearly every request makes (docs/decisions/0090).

PostgREST and Storage use no redirects, cookies, compression or trailers for these calls, so none is supported, nor a
body that only the end of the connection delimits. `httptools` parses the responses, as it parses requests in uvicorn.
"""

import asyncio
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import httptools
from aiohappyeyeballs import start_connection

RACE_SECONDS = 0.25  # for one address, before the next is tried as well (RFC 8305)


class BrokenConnectionError(ConnectionError):
    """The connection failed, or ended before the response was complete."""


class DirectPoolTimeoutError(BrokenConnectionError):
    """No connection became free in time."""


class DirectServer:
    """The connections to one server. Use it on one event loop only."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext,
        capacity: asyncio.Semaphore,
        total_timeout: float,
        connect_timeout: float,
        pool_timeout: float,
        idle_timeout: float,
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = tls if parts.scheme == "https" else None
        self._root = parts.path.rstrip("/")
        self._host_line = f"HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        self._capacity = capacity
        self._total_timeout = total_timeout
        self._connect_timeout = connect_timeout
        self._pool_timeout = pool_timeout
        self._idle_timeout = idle_timeout
        self._idle: deque[_Connection] = deque()  # the last used one at the end
        self._expiry: asyncio.TimerHandle | None = None
        self._deadlines: dict[_Connection, float] = {}  # of calls in flight, by the loop's clock
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf  # not later than the first deadline

    async def post(self, path: str, document: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Posts JSON to `path` below the server's URL. Returns the status and the body of the response.

        Raises BrokenConnectionError, TimeoutError, and ValueError for a header or path that would break the request.
        """
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        if (
            lines.count("\n") != len(headers)
            or lines.count("\r") != len(headers)
            or not path.isascii()
            or not path.isprintable()
            or " " in path
        ):
            raise ValueError("a header or path that would break the request")
        request = (
            f"POST {self._root}/{path} {self._host_line}{lines}"
            f"Content-Type: application/json\r\nContent-Length: {len(document)}\r\n\r\n"
        ).encode("latin-1") + document
        deadline = asyncio.get_running_loop().time() + self._total_timeout
        await self._acquire()
        try:
            connection = self._reuse() or await self._connect()
            self._start_deadline(connection, deadline)
            try:
                response = await connection.exchange(request)
            except BaseException:
                connection.abort()  # its response must not reach the next call
                raise
            finally:
                del self._deadlines[connection]
        finally:
            self._capacity.release()
        if connection.is_reusable:
            self._keep(connection)
        else:
            connection.abort()
        return response

    def close(self) -> None:
        """Closes the idle connections."""
        if self._expiry:
            self._expiry.cancel()
        self._expiry = None
        self._set_timer(min(self._deadlines.values(), default=math.inf))
        while self._idle:
            self._idle.pop().abort()

    def _start_deadline(self, connection: "_Connection", deadline: float) -> None:
        """All calls share one timer: a timer for each call costs as much as parsing its response."""
        self._deadlines[connection] = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline)

    def _set_timer(self, at: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_at(at, self._time_out) if at < math.inf else None

    def _time_out(self) -> None:
        now = asyncio.get_running_loop().time()
        for connection, deadline in self._deadlines.items():
            if deadline <= now:
                connection.time_out()
        self._set_timer(min((each for each in self._deadlines.values() if each > now), default=math.inf))

    async def _acquire(self) -> None:
        if not self._capacity.locked():
            await self._capacity.acquire()
            return
        try:
            async with asyncio.timeout(self._pool_timeout):
                await self._capacity.acquire()
        except TimeoutError as error:
            raise DirectPoolTimeoutError("no connection became free") from error

    def _keep(self, connection: "_Connection") -> None:
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(self._idle_timeout, self._expire)

    def _expire(self) -> None:
        while self._idle and time.monotonic() - self._idle[0].idle_since >= self._idle_timeout:
            self._idle.popleft().abort()
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(self._idle_timeout, self._expire) if self._idle else None

    def _reuse(self) -> "_Connection | None":
        """The last used connection, which is the least likely to be closed by the server."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_reusable and time.monotonic() - connection.idle_since < self._idle_timeout:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_timeout):
                addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
                # uvloop would try one address after the other, and the first that does not respond would take all the
                # time.
                opened = await start_connection(addresses, happy_eyeballs_delay=RACE_SECONDS, interleave=1)
                try:
                    _, connection = await loop.create_connection(
                        lambda: _Connection(loop),
                        sock=opened,
                        ssl=self._tls,
                        server_hostname=self._host if self._tls else None,
                    )
                except BaseException:
                    opened.close()
                    raise
        except (OSError, TimeoutError) as error:
            raise BrokenConnectionError("no connection") from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with one call at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._response: asyncio.Future[tuple[int, bytes]] | None = None
        self.is_reusable = True
        self.idle_since = 0.0

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """The status and body of the response. Raises BrokenConnectionError and TimeoutError."""
        self._response = self._loop.create_future()
        self._transport.write(request)
        return await self._response

    def time_out(self) -> None:
        if self._response is not None and not self._response.done():
            self._response.set_exception(TimeoutError("no response in time"))

    def abort(self) -> None:
        """Closes the connection at once."""
        self.is_reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by type

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            self.abort()  # no request was sent
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
        except httptools.HttpParserUpgrade:
            self.abort()  # a response with status 101, after which the server speaks another protocol

    def eof_received(self) -> None:
        self.is_reusable = False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc)

    def on_message_begin(self) -> None:
        if self._response is None:
            self.is_reusable = False  # more responses than requests: the connection is out of step

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status, body = self._parser.get_status_code(), bytes(self._body)
        self._body.clear()
        if self._response is None or (status < 200 and status != 101):  # an interim response precedes the final one
            return
        self.is_reusable = self._parser.should_keep_alive() and status != 101
        if not self._response.done():
            self._response.set_result((status, body))
        self._response = None

    def _fail(self, error: Exception | None) -> None:
        self.is_reusable = False
        if self._response is not None and not self._response.done():
            broken = BrokenConnectionError("the connection ended before the response")
            broken.__cause__ = error
            self._response.set_exception(broken)
        self._response = None
