"""What a worker takes while it has jobs in hand."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from service.worker.loop import Worker
from service.worker.queue import Job


def job(name: str, *, alone: bool = False) -> Job:
    return Job(id=name, kind="probe", attempt=1, lease_token="t", owner_id=None, subject=None, alone=alone)


class Leasing:
    """A queue that hands out the next batch at each question, and remembers what it was asked."""

    lease_seconds = 60

    def __init__(self, batches: list[list[Job]]) -> None:
        self._batches = batches
        self.asked: list[tuple[int, bool]] = []  # jobs at most, empty-handed

    async def lease_jobs(self, max_jobs: int, kinds: Sequence[str], *, empty_handed: bool) -> tuple[list[Job], int]:
        assert list(kinds) == ["probe"]
        self.asked.append((max_jobs, empty_handed))
        return (self._batches.pop(0) if self._batches else []), 0


def test_a_worker_says_whether_its_hands_are_empty_and_takes_nothing_beside_a_job_that_is_alone() -> None:
    queue = Leasing([[job("ordinary")], [], [job("suspect", alone=True)], []])
    gates = {name: asyncio.Event() for name in ("ordinary", "suspect")}

    async def hand(held: Job) -> str:
        await gates[held.id].wait()
        return "done"

    async def walk() -> None:
        stopping = asyncio.Event()
        worker = asyncio.create_task(Worker(cast(Any, queue), {"probe": hand}, 3, stopping).run())
        await _until(lambda: len(queue.asked) == 2)
        gates["ordinary"].set()
        await _until(lambda: len(queue.asked) == 3)
        await asyncio.sleep(0.5)  # two polls and a half
        asked_beside_it = len(queue.asked)
        gates["suspect"].set()
        await _until(lambda: len(queue.asked) == 4)
        stopping.set()
        await worker
        assert asked_beside_it == 3

    asyncio.run(walk())

    assert queue.asked == [(3, True), (2, False), (3, True), (3, True)]


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the worker says nothing it could wait for
            await asyncio.sleep(0.01)
