"""Sends endless trailers over ten connections, again and again until its standard input closes, and then prints how
many bytes were sent: `python -m tests.security.endless_trailers HOST PORT`.

A process of its own, so that it does not slow down the test that measures the server.
"""

import socket
import sys
import threading
from contextlib import suppress

CONNECTIONS = 10
HEAD = b"POST /api/v1/assets/upload-url HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECE = b"a" * 1024


def main(host: str, port: int) -> None:
    stop, sent = threading.Event(), [0] * CONNECTIONS

    def attack(number: int) -> None:
        while not stop.is_set():
            with suppress(OSError), socket.create_connection((host, port), timeout=240) as connection:
                connection.sendall(HEAD + b"0\r\nX: ")
                while not stop.is_set():
                    connection.sendall(PIECE)
                    sent[number] += len(PIECE)

    threads = [threading.Thread(target=attack, args=(number,), daemon=True) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join(60)
    print(min(sent))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
