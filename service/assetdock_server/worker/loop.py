"""Leases jobs while the worker has capacity for them, and finishes or gives back every job when it stops."""

import asyncio
import random
import time
from collections.abc import Mapping, Sequence

import structlog

from assetdock_server.errors import ApiError
from assetdock_server.gateways.refused_tokens import RefusedTokenError
from assetdock_server.worker import counters
from assetdock_server.worker.jobs import Handler, JobRunner
from assetdock_server.worker.queue import Job, Queue
from assetdock_server.worker.token import log_refusal

GRACE_SECONDS = 8.0  # for running jobs after the signal to stop; the rest is given back
BUSY_POLL = 0.2  # seconds between two polls of an empty queue, for BUSY_SECONDS after the last job
BUSY_SECONDS = 30.0
# Seconds between polls after that. A quarter of a second costs Postgres and PostgREST together one percent of a core
# (bench.worker). A webhook may wait longer than a person in front of an upload.
IDLE_POLL, DELIVERY_IDLE_POLL = 0.25, 1.0
# Jobs are prefetched while every running job is younger than this: signing and recording then run beside the ffprobes.
# An older probe may take minutes, and no job waits behind it that another worker could do.
PREFETCH_SECONDS = 1.0
MAX_LEASED_JOBS = 100  # the limit of assetdock.lease_jobs
MAX_BACKOFF = 15.0  # seconds between attempts to reach a database that is down

log = structlog.get_logger()


class Worker:
    """Runs up to `concurrency` jobs until `stopping` is set. An `exclusive` job runs alone.

    While all running jobs are fast, leases up to `concurrency` more jobs of the kinds in `prefetched`. The handlers of
    these kinds wait for a slot of their own.
    """

    def __init__(
        self,
        queue: Queue,
        handlers: Mapping[str, Handler],
        concurrency: int,
        stopping: asyncio.Event,
        *,
        prefetched: Sequence[str] = (),
        idle_poll: float = IDLE_POLL,
    ) -> None:
        self._queue = queue
        self._kinds = list(handlers)
        self._runner = JobRunner(queue, handlers)
        self._concurrency = concurrency
        self._stopping = stopping
        self._prefetched = prefetched
        self._idle_poll = idle_poll
        self._running: dict[asyncio.Task[None], tuple[Job, float]] = {}  # the job, and time.monotonic() at its start
        self._last_job = float("-inf")
        self._failures = 0

    async def run(self) -> None:
        """Returns after `stopping` is set and every job is finished or given back."""
        while not self._stopping.is_set():
            capacity, kinds = self._capacity
            leased = await self._lease(capacity, kinds) if capacity else []
            for job in leased:
                task = asyncio.create_task(self._runner.run(job))
                self._running[task] = job, time.monotonic()
                task.add_done_callback(self._running.pop)
            if not leased or len(leased) < capacity:  # otherwise the queue may hold more
                await self._pause(full=not self._capacity[0])
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_SECONDS)
        remaining = list(self._running)
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    @property
    def _capacity(self) -> tuple[int, Sequence[str]]:
        """How many jobs to lease now, and of which kinds."""
        if any(job.exclusive for job, _ in self._running.values()):
            return 0, ()
        free = self._concurrency - len(self._running)
        if free > 0:
            return min(free, MAX_LEASED_JOBS), self._kinds
        now = time.monotonic()
        fast = all(now - started < PREFETCH_SECONDS for _, started in self._running.values())
        if free == 0 and self._prefetched and fast:
            return min(self._concurrency, MAX_LEASED_JOBS), self._prefetched
        return 0, ()

    async def _lease(self, capacity: int, kinds: Sequence[str]) -> list[Job]:
        try:
            jobs, exhausted = await self._queue.lease_jobs(capacity, kinds, idle=not self._running)
        except RefusedTokenError as error:
            if self._failed("token_refused"):
                log_refusal(error, self._queue.token)
            return []
        except ApiError as error:
            if self._failed(error.code):
                log.warning("queue_unreachable", code=error.code)
            return []
        except Exception:
            # Nothing but a signal or a setting ends the worker.
            self._failed("unexpected")
            log.exception("lease_failed")
            return []
        if self._failures:
            log.info("queue_reached", after_failures=self._failures)
            self._failures = 0
        if exhausted:
            counters.failures.labels("probe_crashed").inc(exhausted)
            log.warning("probes_exhausted", count=exhausted)
        if jobs:
            self._last_job = time.monotonic()
        return jobs

    def _failed(self, code: str) -> bool:
        """Counts a failed poll. Returns whether it is worth a log line: the first, and then every twentieth."""
        counters.lease_failures.labels(code).inc()
        self._failures += 1
        return self._failures % 20 == 1

    async def _pause(self, *, full: bool) -> None:
        """Waits until a job finishes, the next poll is due, or the worker is asked to stop."""
        if self._failures:
            seconds = min(0.25 * 2 ** min(self._failures, 10), MAX_BACKOFF) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        else:
            seconds = BUSY_POLL if time.monotonic() - self._last_job < BUSY_SECONDS else self._idle_poll
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait(
            {stop, *self._running}, timeout=None if full else seconds, return_when=asyncio.FIRST_COMPLETED
        )
        stop.cancel()
