"""The rate limit's store of request counts."""

import time
from math import floor

from limits.aio.storage.base import SlidingWindowCounterSupport, Storage


class Windows(Storage, SlidingWindowCounterSupport):
    """The counts of the current and the previous window, in this process, for the limiters of the library `limits`.

    The library's MemoryStorage scans all its keys for expired ones at each request: with 10,000 owners the scan costs
    more than the rest of the request (decision 92). This store drops all counts of a window at once. All limits of one
    store must have the same window length.
    """

    STORAGE_SCHEME = ["async+windows"]  # noqa: RUF012 - the library declares it so

    def __init__(self) -> None:
        super().__init__()
        self._window = 0
        self._current: dict[str, int] = {}
        self._previous: dict[str, int] = {}

    @property
    def base_exceptions(self) -> type[Exception]:
        """Required by the library. This store raises no errors."""
        return ValueError

    def _advance(self, now: float, expiry: int) -> None:
        window = int(now // expiry)
        if window != self._window:
            self._previous = self._current if window == self._window + 1 else {}
            self._current = {}
            self._window = window

    async def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Adds `amount` if that stays within the limit; returns whether it did. `expiry`: the window in seconds."""
        previous, previous_ttl, current, _ = await self.get_sliding_window(key, expiry)
        if floor(previous * previous_ttl / expiry + current) + amount > limit:
            return False
        self._current[key] = current + amount
        return True

    async def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """The count of the previous window and the seconds until it expires, and the same for the current window."""
        now = time.time()
        self._advance(now, expiry)
        left = expiry - now % expiry
        return self._previous.get(key, 0), left, self._current.get(key, 0), left + expiry

    async def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 - required by the library
        """Deletes the counts of a key."""
        await self.clear(key)

    async def clear(self, key: str) -> None:
        """Deletes the counts of a key."""
        self._current.pop(key, None)
        self._previous.pop(key, None)

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Adds `amount` without checking the limit; returns the count."""
        self._advance(time.time(), expiry)
        self._current[key] = self._current.get(key, 0) + amount
        return self._current[key]

    async def get(self, key: str) -> int:
        """The count of the current window."""
        return self._current.get(key, 0)

    async def get_expiry(self, key: str) -> float:  # noqa: ARG002 - required by the library
        """Required by the library. Counts expire with their window, so this is the current time."""
        return time.time()

    async def check(self) -> bool:
        """Whether the store works."""
        return True

    async def reset(self) -> int:
        """Deletes all counts; returns the number of keys."""
        keys = len(self._current.keys() | self._previous.keys())
        self._current, self._previous = {}, {}
        return keys
