"""What a worker takes while it has jobs in hand."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from assetdock_server.worker.loop import Worker
from assetdock_server.worker.queue import Job
from tests.polling import comes_about


def job(name: str, *, exclusive: bool = False) -> Job:
    return Job(id=name, kind="probe", attempt=1, lease_token="t", owner_id=None, subject=None, exclusive=exclusive)


class Leasing:
    """A queue that hands out the next batch at each question, and remembers what it was asked."""

    lease_seconds = 60

    def __init__(self, batches: list[list[Job]]) -> None:
        self._batches = batches
        self.asked: list[tuple[int, bool]] = []  # jobs at most, empty-handed

    async def lease_jobs(self, max_jobs: int, kinds: Sequence[str], *, idle: bool) -> tuple[list[Job], int]:
        assert list(kinds) == ["probe"]
        assert 1 <= max_jobs <= 100, "what assetdock.lease_jobs refuses"
        self.asked.append((max_jobs, idle))
        return (self._batches.pop(0) if self._batches else []), 0


def test_a_worker_says_whether_its_hands_are_empty_and_takes_nothing_beside_a_job_that_is_alone() -> None:
    queue = Leasing([[job("ordinary")], [], [job("suspect", exclusive=True)], []])
    gates = {name: asyncio.Event() for name in ("ordinary", "suspect")}

    async def hand(held: Job) -> str:
        await gates[held.id].wait()
        return "done"

    async def walk() -> None:
        stopping = asyncio.Event()
        worker = asyncio.create_task(Worker(cast(Any, queue), {"probe": hand}, 3, stopping).run())
        await comes_about(lambda: len(queue.asked) == 2)
        gates["ordinary"].set()
        await comes_about(lambda: len(queue.asked) == 3)
        await asyncio.sleep(0.5)  # two polls and a half
        asked_beside_it = len(queue.asked)
        gates["suspect"].set()
        await comes_about(lambda: len(queue.asked) == 4)
        stopping.set()
        await worker
        assert asked_beside_it == 3

    asyncio.run(walk())

    assert queue.asked == [(3, True), (2, False), (3, True), (3, True)]


def test_a_worker_takes_jobs_ahead_while_those_in_hand_go_fast_and_none_behind_a_long_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("assetdock_server.worker.loop.PREFETCH_SECONDS", 0.3)
    queue = Leasing([[job("a"), job("b")], [job("c")], []])
    gates = {name: asyncio.Event() for name in "abc"}

    async def hand(held: Job) -> str:
        await gates[held.id].wait()
        return "done"

    async def walk() -> None:
        stopping = asyncio.Event()
        monkeypatch.setattr(
            "assetdock_server.worker.loop.BUSY_POLL", 60
        )  # a full answer is followed by a question at once
        worker = asyncio.create_task(Worker(cast(Any, queue), {"probe": hand}, 2, stopping, ahead=("probe",)).run())
        await comes_about(lambda: len(queue.asked) == 2)
        await asyncio.sleep(0.5)  # three in hand: one ahead, and then all are old
        assert queue.asked == [(2, True), (2, False)]
        gates["a"].set()
        await asyncio.sleep(0.3)
        assert queue.asked == [(2, True), (2, False)], "two long ones fill both hands"
        gates["b"].set()
        await comes_about(lambda: len(queue.asked) == 3)
        stopping.set()
        gates["c"].set()
        await worker

    asyncio.run(walk())

    assert queue.asked[2] == (1, False)


def test_a_worker_with_many_hands_asks_for_no_more_than_it_is_given() -> None:
    queue = Leasing([[job(str(number)) for number in range(100)], [job(str(number)) for number in range(100, 200)], []])

    async def walk() -> None:
        stopping, done = asyncio.Event(), asyncio.Event()

        async def hand(_: Job) -> str:
            await done.wait()
            return "done"

        worker = asyncio.create_task(Worker(cast(Any, queue), {"probe": hand}, 200, stopping, ahead=("probe",)).run())
        await comes_about(lambda: len(queue.asked) == 3)
        stopping.set()
        done.set()
        await worker

    asyncio.run(walk())

    assert queue.asked == [(100, True), (100, False), (100, False)]
