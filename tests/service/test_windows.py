"""Counting requests by the minute: the decisions of the library's own storage, without its walk through all keys."""

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
# Who asks, and how many seconds after the one before.
CALLS = st.lists(st.tuples(st.sampled_from(OWNERS), st.floats(0, 70)), max_size=60)


@given(CALLS, st.integers(1, 8))
def test_whatever_is_asked_the_decisions_are_the_librarys(calls: list[tuple[str, float]], limit: int) -> None:
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
        theirs = asyncio.run(decide(MemoryStorage()))
        now = 1_795_558_330.0
        ours = asyncio.run(decide(Windows()))

    assert ours == theirs


def test_no_owner_is_kept_past_the_next_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 6_000.0
    monkeypatch.setattr(time, "time", lambda: now)

    async def ask() -> int:
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

    assert asyncio.run(ask()) == 1
