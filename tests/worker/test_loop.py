"""Which jobs a worker leases while it runs others."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from assetdock_server.worker.loop import Worker
from assetdock_server.worker.queue import Job
from tests.polling import eventually_in_loop


def job(name: str, *, exclusive: bool = False) -> Job:
    return Job(id=name, kind="probe", attempt=1, lease_token="t", owner_id=None, asset=None, exclusive=exclusive)


class ScriptedQueue:
    """A queue that returns the next batch at each call and records the calls."""

    lease_seconds = 60

    def __init__(self, batches: list[list[Job]]) -> None:
        self._batches = batches
        self.calls: list[tuple[int, bool]] = []  # (max_jobs, idle)

    async def lease_jobs(self, max_jobs: int, kinds: Sequence[str], *, idle: bool) -> tuple[list[Job], int]:
        assert list(kinds) == ["probe"]
        assert 1 <= max_jobs <= 100, "the limits of assetdock.lease_jobs"
        self.calls.append((max_jobs, idle))
        return (self._batches.pop(0) if self._batches else []), 0


def test_reports_whether_it_is_idle_and_leases_nothing_beside_an_exclusive_job() -> None:
    queue = ScriptedQueue([[job("ordinary")], [], [job("exclusive", exclusive=True)], []])
    gates = {name: asyncio.Event() for name in ("ordinary", "exclusive")}

    async def handler(leased: Job) -> str:
        await gates[leased.id].wait()
        return "done"

    async def scenario() -> None:
        stopping = asyncio.Event()
        worker = asyncio.create_task(Worker(cast(Any, queue), {"probe": handler}, 3, stopping).run())
        await eventually_in_loop(lambda: len(queue.calls) == 2)
        gates["ordinary"].set()
        await eventually_in_loop(lambda: len(queue.calls) == 3)
        await asyncio.sleep(0.5)  # two and a half polling intervals
        calls_during_exclusive_job = len(queue.calls)
        gates["exclusive"].set()
        await eventually_in_loop(lambda: len(queue.calls) == 4)
        stopping.set()
        await worker
        assert calls_during_exclusive_job == 3

    asyncio.run(scenario())

    assert queue.calls == [(3, True), (2, False), (3, True), (3, True)]


def test_prefetches_jobs_while_running_jobs_are_fast_and_none_behind_a_long_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("assetdock_server.worker.loop.PREFETCH_SECONDS", 0.3)
    queue = ScriptedQueue([[job("a"), job("b")], [job("c")], []])
    gates = {name: asyncio.Event() for name in "abc"}

    async def handler(leased: Job) -> str:
        await gates[leased.id].wait()
        return "done"

    async def scenario() -> None:
        stopping = asyncio.Event()
        monkeypatch.setattr("assetdock_server.worker.loop.BUSY_POLL", 60)  # the worker polls at once after a full batch
        worker = asyncio.create_task(
            Worker(cast(Any, queue), {"probe": handler}, 2, stopping, prefetched=("probe",)).run()
        )
        await eventually_in_loop(lambda: len(queue.calls) == 2)
        await asyncio.sleep(0.5)  # three jobs run, one of them prefetched, and all pass PREFETCH_SECONDS
        assert queue.calls == [(2, True), (2, False)]
        gates["a"].set()
        await asyncio.sleep(0.3)
        assert queue.calls == [(2, True), (2, False)], "two long jobs use all slots"
        gates["b"].set()
        await eventually_in_loop(lambda: len(queue.calls) == 3)
        stopping.set()
        gates["c"].set()
        await worker

    asyncio.run(scenario())

    assert queue.calls[2] == (1, False)


def test_leases_no_more_jobs_at_a_time_than_the_database_allows() -> None:
    queue = ScriptedQueue(
        [[job(str(number)) for number in range(100)], [job(str(number)) for number in range(100, 200)], []]
    )

    async def scenario() -> None:
        stopping, done = asyncio.Event(), asyncio.Event()

        async def handler(_: Job) -> str:
            await done.wait()
            return "done"

        worker = asyncio.create_task(
            Worker(cast(Any, queue), {"probe": handler}, 200, stopping, prefetched=("probe",)).run()
        )
        await eventually_in_loop(lambda: len(queue.calls) == 3)
        stopping.set()
        done.set()
        await worker

    asyncio.run(scenario())

    assert queue.calls == [(100, True), (100, False), (100, False)]
