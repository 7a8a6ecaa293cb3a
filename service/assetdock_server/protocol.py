"""uvicorn's HTTP/1.1 protocol with limits that uvicorn leaves to a proxy in front of it: how many bytes of a message
may be something other than its body, how many body bytes are read after the response, and how long a request may take
to arrive.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 32_768
HEAD_FIELDS = 100
# Chunk sizes, chunk extensions, trailers, and blank lines before the next request.
FRAMING_BYTES = 32_768
# A client that is still sending when it gets its response (413, for example) needs time to read it: a connection that
# is closed with unread bytes is reset, and the response may be lost.
DISCARDED_BYTES = 1_048_576
ARRIVAL_SECONDS = 20.0  # from the connection, or the first byte of a request, to the last byte of its body


class BoundedHttp(HttpToolsProtocol):
    """Closes connections whose request is too large outside its body, malformed, or too slow.

    uvicorn's own `timeout_keep_alive` limits idle connections between requests.
    """

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._in_head = True
        self._overhead = 0  # bytes outside the body since the last boundary: start, end of a head or message
        self._discarded = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._arriving = True
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # Count before parsing: a boundary inside this read resets the count, so the rest of this read is not counted.
        self._overhead += len(data)
        super().data_received(data)
        if self._overhead > (HEAD_BYTES if self._in_head else FRAMING_BYTES) or self._discarded > DISCARDED_BYTES:
            self.transport.close()
        # Most requests are complete after one read and need no timer. Bytes that do not start a request need one too.
        if self._deadline is None and (self._arriving or self._idle):
            self._start_deadline()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._host_fields = 0
        self._arriving = True

    def on_header(self, name: bytes, value: bytes) -> None:
        # A field after the head is a trailer. RFC 9110, section 6.5.1: a recipient must not merge trailers into the
        # header section unless their definition allows it; no field that this service reads does.
        if not self._in_head:
            return
        super().on_header(name, value)
        name = name.lower()
        if name == b"host":
            self._host_fields += 1
        # The parser turns an exception into 400 and closes the connection.
        if name == b"transfer-encoding" and value.lower() != b"chunked":
            raise ValueError("chunked is the only transfer coding")
        if len(self.headers) > HEAD_FIELDS:
            raise ValueError("too many header fields")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._overhead = 0
        if sum(len(name) + len(value) for name, value in self.headers) + len(self.url) > HEAD_BYTES:
            raise ValueError("the head is too large")
        # RFC 9112, section 3.2.
        if self._host_fields > 1 or (self._host_fields == 0 and self.parser.get_http_version() != "1.0"):
            raise ValueError("a request has one Host field")
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead = max(0, self._overhead - len(body))
        if self.cycle.response_complete:
            self._discarded += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._overhead = self._discarded = 0
        self._stop_deadline()
        super().on_message_complete()

    @property
    def _idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(ARRIVAL_SECONDS, self._close_late)

    def _stop_deadline(self) -> None:
        self._arriving = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()
