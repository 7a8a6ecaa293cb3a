"""Locks that let one request at a time write to a resumable upload."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from devstack.storage.tus.protocol import TusError

WAIT_SECONDS = 5.0
DRAIN_SECONDS = 3.0


@dataclass
class UploadLock:
    """A held lock. Another request can ask its holder to release it."""

    released: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Timeout | None = None
    _deadline: float | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Wraps the reading of the body only. It ends early when another request takes the lock over: the response
        then tells the offset that was reached."""
        try:
            async with asyncio.timeout_at(self._deadline) as self._reading:
                yield
        except TimeoutError:
            pass
        finally:
            self._reading = None

    def request_release(self, drain_seconds: float) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + drain_seconds
            if self._reading is not None:
                self._reading.reschedule(self._deadline)


class UploadLocks:
    """Locks by upload. A new request asks the holder for release, because a client whose connection broke often
    returns before the server notices. The holder can read for ``drain_seconds`` more; the new request waits
    ``wait_seconds``. The real Storage has the same two defaults.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS, drain_seconds: float = DRAIN_SECONDS) -> None:
        self.wait_seconds = wait_seconds
        self.drain_seconds = drain_seconds
        self._held: dict[str, UploadLock] = {}

    @asynccontextmanager
    async def acquire(self, version: str) -> AsyncIterator[UploadLock]:
        """Raises TusError 423 when the holder does not release the lock in time."""
        deadline = time.monotonic() + self.wait_seconds
        while (holder := self._held.get(version)) is not None:
            holder.request_release(self.drain_seconds)
            try:
                await asyncio.wait_for(holder.released.wait(), max(0, deadline - time.monotonic()))
            except TimeoutError:
                raise TusError(423, "acquiring lock timeout") from None
        lock = self._held[version] = UploadLock()
        try:
            yield lock
        finally:
            del self._held[version]
            lock.released.set()
