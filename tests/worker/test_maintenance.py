"""Maintenance continues after every kind of failure."""

import asyncio
import contextlib
from typing import Any, cast

import pytest
import structlog

from assetdock_server.errors import ApiError
from assetdock_server.worker import counters
from assetdock_server.worker.maintenance import run_maintenance


class ScriptedQueue:
    """A queue whose maintenance returns or raises the given results, one per call, and then returns an empty list."""

    def __init__(self, *results: list[str] | Exception) -> None:
        self._results = list(results)
        self.done = asyncio.Event()

    async def run_maintenance(self) -> list[str]:
        if not self._results:
            self.done.set()
            return []
        result = self._results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


@pytest.mark.parametrize(
    ("failure", "level"),
    [
        (ApiError("upstream_unavailable"), "debug"),
        (ApiError("upstream_error"), "warning"),
        (KeyError("expired"), "error"),
    ],
)
def test_continues_after_a_failure_and_reports_it(failure: Exception, level: str) -> None:
    queue = ScriptedQueue(failure, ["one", "two"])

    async def scenario() -> None:
        task = asyncio.create_task(run_maintenance(cast(Any, queue), interval=0.001))
        async with asyncio.timeout(5):
            await queue.done.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    expired_before, failures_before = counters.expired._value.get(), counters.maintenance_failures._value.get()
    with structlog.testing.capture_logs() as entries:
        asyncio.run(scenario())

    assert [entry["log_level"] for entry in entries if entry["event"] == "maintenance_failures"] == [level]
    assert [entry["asset_id"] for entry in entries if entry["event"] == "upload_expired"] == ["one", "two"]
    assert counters.expired._value.get() - expired_before == 2
    assert counters.maintenance_failures._value.get() - failures_before == 1
