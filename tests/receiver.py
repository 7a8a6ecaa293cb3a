"""A webhook receiver whose behaviour a test chooses."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

from tests.polling import until


@dataclass(frozen=True)
class Received:
    """One request."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        loaded: dict[str, Any] = orjson.loads(self.body)
        return loaded


@dataclass
class Answer:
    """What the receiver responds with from now on."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Ignores clients that reject the certificate."""


class Receiver:
    """Listens on a free port of 127.0.0.1. With `hold`, it responds only after
    `let_go` is set; with `hold_after_body`, it keeps the connection open until then."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.received: list[Received] = []
        self.answer = Answer()
        self.sent = 0  # bytes of bodies that were written
        self.hold = False
        self.hold_after_body = False
        self.let_go = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                held = receiver.hold
                receiver.received.append(Received(self.path, headers, body))
                if held:
                    receiver.let_go.wait(60)
                try:
                    receiver.reply(self)
                except OSError:
                    self.close_connection = True  # the client disconnected

            def log_message(self, *_: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def reply(self, to: BaseHTTPRequestHandler) -> None:
        answer = self.answer
        to.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            to.send_header(name, value)
        to.end_headers()
        for start in range(0, len(answer.body), 65536):
            self.sent += to.wfile.write(answer.body[start : start + 65536])
        if self.hold_after_body:
            self.let_go.wait(60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?tenant=7"

    def of(self, event_type: str, asset_id: str | None = None) -> list[Received]:
        """The requests with this event type, of this asset if one is given."""
        return [
            each
            for each in list(self.received)
            if each.document["type"] == event_type and asset_id in (None, each.document["data"].get("id"))
        ]

    def wait_for(self, event_type: str, asset_id: str | None = None, times: int = 1) -> list[Received]:
        until(lambda: len(self.of(event_type, asset_id)) >= times, f"{times} of {event_type}")
        return self.of(event_type, asset_id)

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A running receiver."""
    receiver = Receiver(tls)
    try:
        yield receiver
    finally:
        receiver.close()
