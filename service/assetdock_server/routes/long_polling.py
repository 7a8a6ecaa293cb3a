"""Long polling: requests wait until their asset is finished. One query per tick serves all of them."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import structlog

from assetdock_server import metrics
from assetdock_server.errors import ApiError

TICK_SECONDS = 0.25
MAX_WAITING = 1000  # the most assets that one query takes; further requests get their response at once
MAX_WAITING_PER_OWNER = 100

log = structlog.get_logger()


class LongPolling:
    """Holds requests until `find_finished` returns their asset, their time is over, or `is_stopping()` is true."""

    def __init__(
        self, find_finished: Callable[[list[str]], Awaitable[list[str]]], is_stopping: Callable[[], bool]
    ) -> None:
        self._find_finished = find_finished
        self._is_stopping = is_stopping
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._count = 0
        self._count_by_owner: Counter[str] = Counter()
        self._poller: asyncio.Task[None] | None = None

    async def wait(self, asset_id: str, owner_id: str, seconds: float) -> None:
        """Returns when the asset is finished, and otherwise after `seconds`, at capacity, or at shutdown."""
        at_capacity = self._count >= MAX_WAITING or self._count_by_owner[owner_id] >= MAX_WAITING_PER_OWNER
        if at_capacity or self._is_stopping():
            return
        self._count_by_owner[owner_id] += 1
        event = asyncio.Event()
        self._waiting.setdefault(asset_id, []).append(event)
        self._count += 1
        metrics.waiting.set(self._count)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._count -= 1
            self._count_by_owner[owner_id] -= 1
            if not self._count_by_owner[owner_id]:
                del self._count_by_owner[owner_id]
            metrics.waiting.set(self._count)
            events = self._waiting[asset_id]
            events.remove(event)
            if not events:
                del self._waiting[asset_id]

    async def _poll(self) -> None:
        while self._waiting:
            await asyncio.sleep(TICK_SECONDS)
            asset_ids = list(self._waiting)
            try:
                finished = asset_ids if self._is_stopping() else await self._find_finished(asset_ids)
            except ApiError as error:
                # Each waiting request queries the database itself when its time is over, and reports its own error.
                log.warning("long_polling_query_failed", code=error.code)
                continue
            for asset_id in finished:
                for event in self._waiting.get(asset_id, []):
                    event.set()
