"""The rate limit's store decides as the library's MemoryStorage does, and drops expired counts."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from assetdock_server.routes.windows import Windows

OWNERS = ("a", "b")
# The owner of each request, and the seconds since the previous request.
CALLS = st.lists(st.tuples(st.sampled_from(OWNERS), st.floats(0, 70)), max_size=60)


@given(CALLS, st.integers(1, 8))
def test_decisions_equal_those_of_the_librarys_store(calls: list[tuple[str, float]], limit: int) -> None:
    now = 1_795_558_330.0

    async def decide(storage: MemoryStorage | Windows) -> list[tuple[bool, int]]:
        nonlocal now
        limiter, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerMinute(limit)
        decisions = []
        for owner, pause in calls:
            now += pause
            allowed = await limiter.hit(item, owner)
            decisions.append((allowed, (await limiter.get_window_stats(item, owner)).remaining))
        return decisions

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        expected = asyncio.run(decide(MemoryStorage()))
        now = 1_795_558_330.0
        actual = asyncio.run(decide(Windows()))

    assert actual == expected


def test_counts_of_an_owner_are_dropped_after_the_next_window(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 6_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    async def count() -> int:
        nonlocal now
        windows = Windows()
        for number in range(1000):
            await windows.acquire_sliding_window_entry(f"owner {number}", 10, 60)
        now += 60
        await windows.acquire_sliding_window_entry("another", 10, 60)
        assert await windows.get_sliding_window("owner 5", 60) == (1, 60, 0, 120)
        now += 60
        await windows.acquire_sliding_window_entry("another", 10, 60)
        assert await windows.get_sliding_window("owner 5", 60) == (0, 60, 0, 120)
        return await windows.reset()

    assert asyncio.run(count()) == 1
