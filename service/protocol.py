"""uvicorn's HTTP/1.1 protocol with bounds that uvicorn leaves to a proxy in front: how large a request's head may be,
and how long a request may take to arrive.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 32_768
HEAD_FIELDS = 100
ARRIVAL_SECONDS = 20.0  # from the first byte, or the connection, to the last byte of the body


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose request is too large in its head or too slow in coming.

    Idle connections between requests are uvicorn's own `timeout_keep_alive`.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._in_head = True
        self._head_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._expect_arrival()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.close()
        if self._deadline is None and self._idle:
            self._expect_arrival()  # something came, but no request began with it

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0
        if self._deadline is None:
            self._expect_arrival()

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
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
