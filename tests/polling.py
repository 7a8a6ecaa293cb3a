"""Waiting for something to come about, for as long as it takes and no longer than a deadline."""

import asyncio
import time
from collections.abc import Callable

DEADLINE = 30.0


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Polls until the condition holds; fails with `what` was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


def eventually(condition: Callable[[], bool], seconds: float = 15) -> None:
    """The same; an exception from the condition means "not yet"."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


async def comes_about(condition: Callable[[], object], seconds: float = 5) -> None:
    """The same of what happens on this event loop, looked at in each of its turns: it may pass soon. Raises
    TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - for what sets no event
            await asyncio.sleep(0)
