"""Where requests are counted, by the minute."""

import time
from math import floor

from limits.aio.storage.base import SlidingWindowCounterSupport, Storage


class Windows(Storage, SlidingWindowCounterSupport):
    """The counts of this minute and the last, in this process, for the limiters of the library `limits`.

    Its own storage in memory goes through every key it holds at each request, looking for those that have expired: with
    ten thousand owners that is more than all else a request costs. Here a minute's counts go at once, when it is over.
    One length of window to a storage.
    """

    STORAGE_SCHEME = ["async+windows"]  # noqa: RUF012 - as the library declares it

    def __init__(self) -> None:
        super().__init__()
        self._window = 0
        self._current: dict[str, int] = {}
        self._previous: dict[str, int] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """Nothing here fails."""
        return ValueError

    def _turn(self, now: float, expiry: int) -> None:
        window = int(now // expiry)
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else {}
            self._current = {}
            self._window = window

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Whether there is room for `amount`, which is taken then. `expiry`: the window in seconds."""
        previous, previous_ttl, current, _ = await self.get_sliding_window(key, expiry)
        if floor(previous * previous_ttl / expiry + current) + amount > limit:
            return False
        self._current[key] = current + amount
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The count of the window before, for how many seconds it still weighs, and the same of this one."""
        now = time.time()
        self._turn(now, expiry)
        left = expiry - now % expiry
        return self._previous.get(key, 0), left, self._current.get(key, 0), left + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - as the library asks
        """Forgets a key."""
        await self.clear(key)

    async def clear(self, key: str) -> None:
        """Forgets a key."""
        self._current.pop(key, None)
        self._previous.pop(key, None)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Counts without asking whether there is room; the count."""
        self._turn(time.time(), expiry)
        self._current[key] = self._current.get(key, 0) + amount
        return self._current[key]

    async def get(self, key: str) -> int:
        """The count of this window."""
        return self._current.get(key, 0)

    async def get_expiry(self, key: str) -> float:  # noqa: ARG002 - as the library asks
        """Now: no key outlives the minute after its own."""
        return time.time()

    async def check(self) -> bool:
        """Whether it can be used."""
        return True

    async def reset(self) -> int:
        """Forgets everything; how many keys that were."""
        keys = len(self._current.keys() | self._previous.keys())
        self._current, self._previous = {}, {}
        return keys
