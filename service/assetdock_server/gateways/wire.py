"""POST over HTTP/1.1 on connections that are kept, for the calls that nearly every request makes
(docs/decisions/0083).

Left out is what PostgREST and Storage do none of: redirects, cookies, compression, trailers, bodies that only the end
of the connection ends. `httptools` reads the answers, as it does our own requests in uvicorn.
"""

import asyncio
import math
import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import aiohappyeyeballs
import httptools

KNOWN_SECONDS = 10.0  # for which the addresses of a name are believed
KEPT_SECONDS = 4.0  # less than what any server or proxy in between keeps an idle connection for


class BrokenError(ConnectionError):
    """No connection, or one that ended before the answer did."""


class CrowdedError(BrokenError):
    """All connections are taken, and none became free in time."""


class Server:
    """One server, at most `places` calls at a time. Not for more than one event loop."""

    def __init__(
        self, url: str, *, tls: ssl.SSLContext, places: asyncio.Semaphore, seconds: float, connect_seconds: float
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = tls if parts.scheme == "https" else None
        self._root = parts.path.rstrip("/")
        self._host_line = f"HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        self._places = places
        self._seconds = seconds
        self._connect_seconds = connect_seconds
        self._idle: deque[_Wire] = deque()  # in the order in which they were left
        self._sweep: asyncio.TimerHandle | None = None
        self._asked: dict[_Wire, float] = {}  # and until when each may wait for its answer, by the loop's clock
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = math.inf  # the first of them, or earlier
        self._found: tuple[float, list[Any]] | None = None  # when its addresses were looked up, and which they are
        self._looking: asyncio.Task[list[Any]] | None = None

    async def post(self, path: str, document: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Sends JSON to `path` below the server's URL; status and body of the answer.

        Raises BrokenError, TimeoutError, and ValueError for what can't stand in a request.
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
        deadline = asyncio.get_running_loop().time() + self._seconds
        await self._place()
        try:
            wire = self._kept() or await self._connected()
            self._limit(wire, deadline)
            try:
                answer = await wire.exchange(request)
            except BaseException:
                wire.abort()  # an answer that nobody waited for would be taken for that to the next call
                raise
            finally:
                del self._asked[wire]
        finally:
            self._places.release()
        if wire.is_reusable:
            self._keep(wire)
        else:
            wire.abort()
        return answer

    def close(self) -> None:
        """Ends the connections that nobody uses."""
        if self._sweep:
            self._sweep.cancel()
        self._sweep = None
        self._set_alarm(min(self._asked.values(), default=math.inf))
        while self._idle:
            self._idle.pop().abort()

    def _limit(self, wire: "_Wire", deadline: float) -> None:
        """One timer for all calls: to set one for each and take it back costs as much as parsing the answer."""
        self._asked[wire] = deadline
        if deadline < self._alarm_at:
            self._set_alarm(deadline)

    def _set_alarm(self, at: float) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.get_running_loop().call_at(at, self._ring) if at < math.inf else None

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        for wire, deadline in self._asked.items():
            if deadline <= now:
                wire.give_up()
        self._set_alarm(min((deadline for deadline in self._asked.values() if deadline > now), default=math.inf))

    def _keep(self, wire: "_Wire") -> None:
        wire.idle_since = time.monotonic()
        self._idle.append(wire)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """Ends the connections that nobody used for too long."""
        while self._idle and time.monotonic() - self._idle[0].idle_since >= KEPT_SECONDS:
            self._idle.popleft().abort()
        self._sweep = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._let_go) if self._idle else None

    async def _place(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._places.acquire()
        except TimeoutError as error:
            raise CrowdedError("all connections are taken") from error

    def _kept(self) -> "_Wire | None":
        """The connection that was used last, for those below it may have been left too long by now."""
        while self._idle:
            wire = self._idle.pop()
            if wire.is_reusable and time.monotonic() - wire.idle_since < KEPT_SECONDS:
                return wire
            wire.abort()
        return None

    async def _connected(self) -> "_Wire":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_seconds):
                found = await self._addresses()
                connection = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=0.25, loop=loop)
                try:
                    _, wire = await loop.create_connection(
                        lambda: _Wire(loop),
                        sock=connection,
                        ssl=self._tls,
                        server_hostname=self._host if self._tls else None,
                    )
                except BaseException:
                    connection.close()
                    raise
        except (OSError, TimeoutError) as error:
            self._found = None
            raise BrokenError("no connection") from error
        return wire

    async def _addresses(self) -> list[Any]:
        """What the host's name stands for: looked up once for all who want to know it, and again after a while."""
        if self._found and time.monotonic() - self._found[0] < KNOWN_SECONDS:
            return self._found[1]
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_up())
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    async def _look_up(self) -> list[Any]:
        return await asyncio.get_running_loop().getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)

    def _looked(self, looking: "asyncio.Task[list[Any]]") -> None:
        self._looking = None
        if not looking.cancelled() and looking.exception() is None:
            self._found = time.monotonic(), looking.result()


class _Wire(asyncio.Protocol):
    """One connection, and one call at a time on it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.is_reusable = True
        self.idle_since = 0.0

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises BrokenError."""
        self._answer = self._loop.create_future()
        self._transport.write(request)
        return await self._answer

    def give_up(self) -> None:
        """Lets whoever waits for the answer know that there was time enough."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(TimeoutError("no answer in time"))

    def abort(self) -> None:
        """Ends the connection at once, and what was asked on it."""
        self.is_reusable = False
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's says so only by what it does

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.abort()  # nothing was asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._break(error)

    def eof_received(self) -> None:
        self.is_reusable = False  # and the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        self._break(exc)

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.is_reusable = False  # more than was asked for: nothing that comes after it can be trusted

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        status, body = self._parser.get_status_code(), bytes(self._body)
        self._body.clear()
        if self._answer is None or status < 200:  # interim: the answer is still to come
            return
        self.is_reusable = self._parser.should_keep_alive()
        if not self._answer.done():
            self._answer.set_result((status, body))
        self._answer = None

    def _break(self, error: Exception | None) -> None:
        self.is_reusable = False
        if self._answer is not None and not self._answer.done():
            broken = BrokenError("the connection ended before the answer")
            broken.__cause__ = error
            self._answer.set_exception(broken)
        self._answer = None
