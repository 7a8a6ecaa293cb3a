"""A storage server on 127.0.0.1 that serves byte ranges and records the requests."""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext
from typing import Literal

Fault = Literal["truncate", "reset"]


@dataclass
class Storage:
    """Serves `folder`. `statuses` and `faults` are keyed by file name.

    Each request for a file takes the next of its `statuses`; the last one repeats, and 0 serves the file. `faults` maps
    request numbers, from 1, to a fault half-way through the body.
    """

    folder: Path
    statuses: dict[str, list[int]] = field(default_factory=dict)
    faults: dict[str, dict[int, Fault]] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)  # (path, Host)
    sent: int = 0  # bytes of response bodies
    port: int = 0
    scheme: str = "http"

    def url(self, name: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/object/sign/assets/{name}?token=s3cret"


def _handler(storage: Storage) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name in the base class
            """Keeps requests out of stderr."""

        def do_GET(self) -> None:
            name = self.path.partition("?")[0].rpartition("/")[2]
            storage.requests.append((self.path, self.headers.get("Host", "")))
            self.close_connection = True
            statuses = storage.statuses.get(name, [0])
            status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
            if status:
                return self._respond_without_body(status)
            body = (storage.folder / name).read_bytes() if (storage.folder / name).is_file() else None
            if body is None:
                return self._respond_without_body(400)  # as Supabase Storage does for a missing object
            requested = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            start = int(requested[1]) if requested else 0
            end = int(requested[2]) + 1 if requested and requested[2] else None
            if requested and start >= len(body):
                return self._respond_without_body(416)
            self.send_response(206 if requested else 200)
            if requested:
                self.send_header("Content-Range", f"bytes {start}-{len(body[:end]) - 1}/{len(body)}")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(body[start:end])))
            self.end_headers()
            request_number = sum(path == self.path for path, _ in storage.requests)
            return self._send(body[start:end], storage.faults.get(name, {}).get(request_number))

        def _respond_without_body(self, status: int) -> None:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", "/object/sign/assets/elsewhere?token=s3cret")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, body: bytes, fault: Fault | None) -> None:
            # `sent` includes bytes in the kernel's buffer that the client never reads, so the buffer is small.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            sendable = memoryview(body)[: len(body) // 2] if fault else memoryview(body)
            try:
                for start in range(0, len(sendable), 65536):
                    self.connection.sendall(sendable[start : start + 65536])
                    storage.sent += len(sendable[start : start + 65536])
                if fault == "reset":
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.connection.close()
            except OSError:  # ffprobe closed the connection early
                pass

    return Handler


@contextmanager
def serving(folder: Path, tls: SSLContext | None = None) -> Iterator[Storage]:
    """Runs a storage server in a thread, on a free port."""
    storage = Storage(folder)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64  # a full queue drops the SYN, and the client waits to send it again

        def handle_error(self, request: object, client_address: object) -> None:
            """Keeps rejected TLS handshakes out of stderr."""

    with Server(("127.0.0.1", 0), _handler(storage)) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            storage.scheme = "https"
        storage.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield storage
        finally:
            server.shutdown()
            thread.join()
