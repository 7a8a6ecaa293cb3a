"""A TCP forwarder that counts the response bytes of Storage's signed URLs, per object."""

import asyncio
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from devstack.ports import HOST

CHUNK = 64 * 1024
_REQUEST = re.compile(rb"[A-Z]+ /[^ ]* HTTP/1.1\r\n")
_READING = re.compile(rb"GET /storage/v1/object/sign/assets/([0-9a-f-]{36})\?")


@dataclass
class Counts:
    """`url` is the forwarder's address. Per object name: response bytes sent to clients, and number of requests."""

    url: str = ""
    sent: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)


@contextmanager
def counting(port: int) -> Iterator[Counts]:
    """A forwarder to 127.0.0.1:`port`, in a thread of its own.

    The request line names the object; all response bytes until the next request count for it, headers included. Socket
    buffers are kept small, because bytes in the kernel's buffers count as read even if ffprobe never reads them.
    """
    counts = Counts()
    loop = asyncio.new_event_loop()
    forwarder = _Forwarder(port, counts)
    server = loop.run_until_complete(asyncio.start_server(forwarder.serve, HOST, 0, limit=CHUNK))
    counts.url = f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, name="counting", daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        asyncio.run_coroutine_threadsafe(forwarder.close(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


class _Forwarder:
    def __init__(self, port: int, counts: Counts) -> None:
        self._port = port
        self._counts = counts
        self._open: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forwards one connection in both directions until either side closes it."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs a connection as a task
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection(HOST, self._port, limit=CHUNK)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
            writer.transport.set_write_buffer_limits(high=0)
            asked: list[str] = []  # the object of the current request
            asking = asyncio.ensure_future(self._ask(reader, there, asked))
            try:
                while piece := await answers.read(CHUNK):
                    writer.write(piece)
                    for name in asked:
                        self._counts.sent[name] += len(piece)
                    await writer.drain()
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            pass  # ffprobe closed the connection, or the benchmark ends
        finally:
            for each in (writer, there):
                if each is not None:
                    each.transport.abort()

    async def _ask(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, asked: list[str]) -> None:
        """Forwards requests and remembers the object of the last one. No client here pipelines requests."""
        while piece := await source.read(CHUNK):
            if _REQUEST.match(piece):
                asked[:] = [name.decode() for name in _READING.findall(piece)]
                self._counts.requests.update(asked)
            target.write(piece)
            await target.drain()

    async def close(self, server: asyncio.Server) -> None:
        """Stops listening and closes the open connections."""
        server.close()
        for task in tuple(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
