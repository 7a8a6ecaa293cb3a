"""uvicorn's HTTP/1.1 protocol with bounds that uvicorn leaves to a proxy in front: how large a request's head may be,
and how long a request may take to arrive.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 32_768
HEAD_FIELDS = 100
ARRIVAL_SECONDS = 20.0  # from the first byte, or the connection, to the last byte of the body


class Joined:
    """A transport that sends what is written in one turn of the loop at its end, as one piece.

    uvicorn writes the head of an answer and its body one after the other: two system calls, and two packets.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Sends it in a moment."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)

    def close(self) -> None:
        """Sends what was written, and no more after it."""
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        """Sends what was written now."""
        data = b"".join(self._held)
        self._held.clear()
        if data and not self._transport.is_closing():  # the client may have left meanwhile
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose request is too large in its head or too slow in coming.

    Idle connections between requests are uvicorn's own `timeout_keep_alive`.
    """

    def connection_made(self, transport: Any) -> None:
        self._joined = Joined(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._joined))
        self._in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._arriving = True
        self._expect_arrival()

    def eof_received(self) -> None:
        # The transport closes itself now. A client that will send no more may still read what it asked for.
        self._joined.flush()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()
        # Now, for most requests have arrived whole by now, and need no timer. Or something came, but no request began
        # with it.
        if self._deadline is None and (self._arriving or self._idle):
            self._expect_arrival()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        self._arriving = True

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > HEAD_FIELDS:
            raise ValueError("too many header fields")  # the parser turns it into 400 and closes

    def on_headers_complete(self) -> None:
        self._in_head = False
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > HEAD_BYTES:
            raise ValueError("the head is too large")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._arrived()
        super().on_message_complete()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect_arrival(self) -> None:
        self._deadline = self.loop.call_later(ARRIVAL_SECONDS, self._late)

    def _arrived(self) -> None:
        self._arriving = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
