"""Turns at an upload: one request at a time writes to it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from devstack.storage.tus.protocol import TusError

WAIT_SECONDS = 5.0
DRAIN_SECONDS = 3.0


@dataclass
class Turn:
    """What its holder has until somebody else wants it."""

    over: asyncio.Event = field(default_factory=asyncio.Event)
    _reading: asyncio.Timeout | None = None
    _ends: float | None = None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Around the reading of bytes, and nothing else: it is broken off (TusError 400) when the turn is
        up.
        """
        try:
            async with asyncio.timeout_at(self._ends) as self._reading:
                yield
        except TimeoutError:
            raise TusError(400, "Request aborted due to lock acquired") from None
        finally:
            self._reading = None

    def ask_back(self, drain_seconds: float) -> None:
        if self._ends is None:
            self._ends = asyncio.get_running_loop().time() + drain_seconds
            if self._reading is not None:
                self._reading.reschedule(self._ends)


class Turns:
    """A newcomer asks the holder to let go. A client whose connection broke is often back before the server
    has noticed; without this it would meet its own ghost. The holder may go on for ``drain_seconds``, the
    newcomer waits ``wait_seconds``; both are the real Storage's.
    """

    def __init__(self, wait_seconds: float = WAIT_SECONDS, drain_seconds: float = DRAIN_SECONDS) -> None:
        self.wait_seconds = wait_seconds
        self.drain_seconds = drain_seconds
        self._held: dict[str, Turn] = {}

    @asynccontextmanager
    async def at(self, upload: str) -> AsyncIterator[Turn]:
        """Raises TusError 423 when the holder does not let go in time."""
        deadline = time.monotonic() + self.wait_seconds
        while (holder := self._held.get(upload)) is not None:
            holder.ask_back(self.drain_seconds)
            try:
                await asyncio.wait_for(holder.over.wait(), max(0, deadline - time.monotonic()))
            except TimeoutError:
                raise TusError(423, "acquiring lock timeout") from None
        turn = self._held[upload] = Turn()
        try:
            yield turn
        finally:
            del self._held[upload]
            turn.over.set()
