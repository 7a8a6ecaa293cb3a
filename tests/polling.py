"""Polls conditions with a deadline."""

import asyncio
import time
from collections.abc import Callable

# Long, so that no test fails only because the machine is busy: a test that succeeds does not wait longer.
DEADLINE = 120.0


def until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Polls until the condition is true. Fails after `seconds` with a message that names `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def eventually(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Like `until`, but an exception in the condition means that it is not true yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.02)


async def eventually_in_loop(condition: Callable[[], object], seconds: float = 60) -> None:
    """Polls in each iteration of this event loop, for conditions that hold only briefly. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - nothing sets an event
            await asyncio.sleep(0)
