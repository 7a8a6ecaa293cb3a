"""Where requests wait for assets to come to rest: one look-up a tick for all of them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from assetdock_server import metrics
from assetdock_server.errors import ApiError

TICK_SECONDS = 0.25
PLACES = 1000  # as many as one look-up takes; past that a request is answered at once
PLACES_OF_AN_OWNER = 100

log = structlog.get_logger()


class WaitingRoom:
    """Holds requests until `settled` names their asset, their time passes, or `leaving` says that the process ends."""

    def __init__(self, settled: Callable[[list[str]], Awaitable[list[str]]], leaving: Callable[[], bool]) -> None:
        self._settled = settled
        self._leaving = leaving
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._taken = 0
        self._of_owner: Counter[str] = Counter()
        self._ticking: asyncio.Task[None] | None = None

    async def wait(self, asset_id: str, owner_id: str, seconds: float) -> None:
        """Returns when it is worth looking at the asset again."""
        if self._taken >= PLACES or self._of_owner[owner_id] >= PLACES_OF_AN_OWNER or self._leaving():
            return
        self._of_owner[owner_id] += 1
        event = asyncio.Event()
        self._waiting.setdefault(asset_id, []).append(event)
        self._taken += 1
        metrics.waiting.set(self._taken)
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._taken -= 1
            self._of_owner[owner_id] -= 1
            if not self._of_owner[owner_id]:
                del self._of_owner[owner_id]
            metrics.waiting.set(self._taken)
            events = self._waiting[asset_id]
            events.remove(event)
            if not events:
                del self._waiting[asset_id]

    async def _tick(self) -> None:
        while self._waiting:
            await asyncio.sleep(TICK_SECONDS)
            asked = list(self._waiting)
            try:
                settled = asked if self._leaving() else await self._settled(asked)
            except ApiError as error:
                # Whoever waits gets the answer of its own call when its time has passed.
                log.warning("waiting_without_look_up", code=error.code)
                continue
            for asset_id in settled:
                for event in self._waiting.get(asset_id, []):
                    event.set()
