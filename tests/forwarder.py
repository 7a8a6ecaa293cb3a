"""A TCP forwarder that counts the HTTP requests that pass through it."""

import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

HEAD = re.compile(rb"(?:^|\r\n\r\n|\})(GET|POST|PUT|DELETE) (/[^ ?]*)[^ ]* HTTP/1\.1\r\n")


class Forwarder:
    """Listens on a free port of 127.0.0.1 and forwards to `port`. `requests` counts the requests by path."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.requests: Counter[str] = Counter()
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Closes every connection."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._sockets += [client, server]
                threading.Thread(target=self._pump, args=(client, server, True), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, False), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counting: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                # Each counted request is small and its client waits for the response, so one read returns it whole.
                if counting:
                    self.requests.update(path.decode() for _, path in HEAD.findall(data))
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def forwarder(port: int) -> Iterator[Forwarder]:
    """A forwarder that is closed at the end."""
    running = Forwarder(port)
    try:
        yield running
    finally:
        running.close()
