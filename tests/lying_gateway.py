"""A gateway in front of the stack that answers some calls itself, as a proxy of a hosted project may."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

HOP_BY_HOP = ("connection", "content-length", "transfer-encoding", "host", "keep-alive", "content-encoding", "date")
Answer = tuple[int, bytes]


class LyingGateway:
    """Forwards every call, except those for which `lie` has an answer: it takes the path and returns it, or None."""

    def __init__(self, target: str) -> None:
        self.lie: Callable[[str], Answer | None] = lambda _: None
        self.url = ""
        self._target = target
        self._client = httpx.Client(timeout=30)

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[Answer, dict[str, str]]:
        """Status, body and headers of the response."""
        if (lie := self.lie(path)) is not None:
            return lie, {}
        kept = {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
        response = self._client.request(
            method, self._target + path, headers={**kept, "Accept-Encoding": "identity"}, content=body
        )
        passed = {name: value for name, value in response.headers.items() if name not in HOP_BY_HOP}
        return (response.status_code, response.content), passed

    def close(self) -> None:
        self._client.close()


@contextmanager
def lying_gateway(target: str) -> Iterator[LyingGateway]:
    """A running gateway in front of `target`."""
    gateway = LyingGateway(target)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            (status, content), headers = gateway.answer(self.command, self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = do_HEAD = respond  # noqa: N815 - the names of http.server

        def log_message(self, *_: Any) -> None:
            """Writes nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    gateway.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield gateway
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        gateway.close()
