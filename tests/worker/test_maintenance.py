"""What happens by the clock goes on, whatever goes wrong once."""

import asyncio
import contextlib
from typing import Any, cast

import pytest
import structlog

from assetdock_server.errors import ApiError
from assetdock_server.worker import counters
from assetdock_server.worker.maintenance import run_maintenance


class House:
    """A queue that answers with what it is given, one thing a call, then with nothing to do."""

    def __init__(self, *answers: list[str] | Exception) -> None:
        self._answers = list(answers)
        self.done = asyncio.Event()

    async def run_maintenance(self) -> list[str]:
        if not self._answers:
            self.done.set()
            return []
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("trouble", "level"),
    [
        (ApiError("upstream_unavailable"), "debug"),
        (ApiError("upstream_error"), "warning"),
        (KeyError("expired"), "error"),
    ],
)
def test_housekeeping_goes_on_after_any_trouble_and_says_so(trouble: Exception, level: str) -> None:
    house = House(trouble, ["one", "two"])

    async def walk() -> None:
        task = asyncio.create_task(run_maintenance(cast(Any, house), every=0.001))
        async with asyncio.timeout(5):
            await house.done.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    expired, missed = counters.expired._value.get(), counters.maintenance_failures._value.get()
    with structlog.testing.capture_logs() as lines:
        asyncio.run(walk())

    assert [line["log_level"] for line in lines if line["event"] == "maintenance_failures"] == [level]
    assert [line["asset_id"] for line in lines if line["event"] == "upload_expired"] == ["one", "two"]
    assert counters.expired._value.get() - expired == 2
    assert counters.maintenance_failures._value.get() - missed == 1
