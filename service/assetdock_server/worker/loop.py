"""The worker process: leases jobs while it has hands free, keeps their leases alive, stops without losing any."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

import structlog
from prometheus_client import start_http_server

from assetdock_server.config import ConfigError, WorkerSettings
from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from assetdock_server.media.binary import UnusableFfprobeError, find
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.metrics import REGISTRY
from assetdock_server.worker import counters
from assetdock_server.worker.delivery import Deliverer
from assetdock_server.worker.hardening import hide
from assetdock_server.worker.maintenance import run_maintenance
from assetdock_server.worker.probing import Prober
from assetdock_server.worker.purging import OwnerPurger, Purger
from assetdock_server.worker.queue import Job, Queue

GRACE_SECONDS = 8.0  # for what is in hand when told to stop; the rest is given back
BUSY_POLL = 0.2  # seconds between two looks at an empty queue, for BUSY_SECONDS after the last job
BUSY_SECONDS = 30.0
# After that. A quarter of a second costs Postgres and PostgREST a percent of a core together (bench.worker); a
# receiver of webhooks waits longer than somebody in front of an upload.
IDLE_POLL, DELIVERY_IDLE_POLL = 0.25, 1.0
# A job is taken ahead while every one in hand is younger: its URL is signed, and those before it are recorded, while
# ffprobes keep the cores busy. One that probes for longer may do so for minutes; nothing is to wait behind it here that
# another worker could do.
PREFETCH_SECONDS = 1.0  # seconds
MAX_LEASED_JOBS = 100  # jobs that assetdock.lease_jobs gives in one answer
MAX_BACKOFF = 15.0  # between attempts to reach a database that is away
DELIVERY_CONCURRENCY = 16  # they only wait; hands of their own, so that receivers which hang hold up no probe
PROJECT = Path(__file__).parents[3]

# Does a job and says how it ended, for the metrics: done, postponed, dead, more. Raises ApiError.
Handler = Callable[[Job], Awaitable[str]]

log = structlog.get_logger()


async def run(settings: WorkerSettings, concurrency: int) -> int:
    """Works until SIGTERM or SIGINT; the exit code. Raises ConfigError when there is no ffprobe to work with."""
    limits = Limits(seconds=settings.probe_seconds)
    log.info("worker_hidden" if hide() else "worker_not_hidden")
    try:
        ffprobe = await find(PROJECT, limits=limits)
        ffprobe.accept(settings.connection.supabase_url)
    except UnusableFfprobeError as error:
        raise ConfigError(str(error)) from error
    connection = settings.connection
    async with http_pool() as pool:
        queue = Queue(
            Postgrest(pool, url=connection.rest_url, publishable_key=connection.publishable_key),
            token=settings.token,
            worker=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
            lease_seconds=settings.lease_seconds,
        )
        storage = Storage(pool, url=connection.storage_url, publishable_key=connection.publishable_key)
        prober = Prober(
            queue=queue,
            storage=storage,
            pool=pool,
            token=settings.token,
            ffprobe=ffprobe,
            limits=limits,
            turns=asyncio.Semaphore(concurrency),
        )
        # In the order of urgency. Kinds that are not here are left to workers that know them.
        hands: Mapping[str, Handler] = {
            "probe": prober.work,
            "purge_owner": OwnerPurger(queue).work,
            "purge": Purger(queue=queue, storage=storage, token=settings.token).work,
        }
        letters: Mapping[str, Handler] = {"deliver": Deliverer(queue).work}
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _on_signal, number, stopping)
        with _serving_metrics(settings):
            log.info("worker_started", concurrency=concurrency, kinds=[*hands, *letters], ffprobe=str(ffprobe.path))
            house = asyncio.create_task(run_maintenance(queue))
            await asyncio.gather(
                Worker(queue, hands, concurrency, stopping, ahead=("probe",)).run(),
                Worker(queue, letters, DELIVERY_CONCURRENCY, stopping, idle_poll=DELIVERY_IDLE_POLL).run(),
            )
            house.cancel()
            await asyncio.gather(house, return_exceptions=True)
    log.info("worker_stopped")
    return 0


def _on_signal(number: signal.Signals, stopping: asyncio.Event) -> None:
    """The first signal asks to finish; a second one ends the process at once, and the kernel its ffprobes."""
    if stopping.is_set():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    log.info("worker_stopping")
    stopping.set()


@contextlib.contextmanager
def _serving_metrics(settings: WorkerSettings) -> Iterator[None]:
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host, REGISTRY)
    except OSError as error:
        raise ConfigError(f"ASSETDOCK_WORKER_METRICS_PORT {settings.metrics_port} can't be opened: {error}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Worker:
    """Keeps up to `concurrency` jobs in hand until `stopping` is set; one that is `exclusive` by itself. While all in hand
    go fast, as many again of the kinds `ahead`, which wait for their turns by themselves."""

    def __init__(
        self,
        queue: Queue,
        hands: Mapping[str, Handler],
        concurrency: int,
        stopping: asyncio.Event,
        *,
        ahead: Sequence[str] = (),
        idle_poll: float = IDLE_POLL,
    ) -> None:
        self._queue = queue
        self._hands = hands
        self._concurrency = concurrency
        self._stopping = stopping
        self._ahead = ahead
        self._idle_poll = idle_poll
        self._running: dict[asyncio.Task[None], tuple[Job, float]] = {}  # and since when, of time.monotonic
        self._last_job = float("-inf")
        self._failures = 0

    async def run(self) -> None:
        """Returns when told to stop and everything in hand is finished or given back."""
        while not self._stopping.is_set():
            room, kinds = self._room
            leased = await self._lease(room, kinds) if room else []
            for job in leased:
                task = asyncio.create_task(self._keep(job))
                self._running[task] = job, time.monotonic()
                task.add_done_callback(self._running.pop)
            if not leased or len(leased) < room:  # else there may be more, and room for it
                await self._pause(full=not self._room[0])
        if self._running:
            await asyncio.wait(self._running, timeout=GRACE_SECONDS)
        remaining = list(self._running)
        for task in remaining:
            task.cancel()
        await asyncio.gather(*remaining, return_exceptions=True)

    @property
    def _room(self) -> tuple[int, Sequence[str]]:
        """How many jobs may be asked for, and of which kinds."""
        if any(job.exclusive for job, _ in self._running.values()):
            return 0, ()
        free = self._concurrency - len(self._running)
        if free > 0:
            return min(free, MAX_LEASED_JOBS), list(self._hands)
        if free == 0 and self._ahead and all(time.monotonic() - since < PREFETCH_SECONDS for _, since in self._running.values()):
            return min(self._concurrency, MAX_LEASED_JOBS), self._ahead
        return 0, ()

    async def _lease(self, room: int, kinds: Sequence[str]) -> list[Job]:
        try:
            jobs, exhausted = await self._queue.lease_jobs(room, kinds, idle=not self._running)
        except ApiError as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("queue_unreachable", code=error.code)
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

    async def _pause(self, *, full: bool) -> None:
        """Until there may be something to do: a hand becomes free, it is time to look again, or to stop."""
        if self._failures:
            seconds = min(0.25 * 2**self._failures, MAX_BACKOFF) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        else:
            seconds = BUSY_POLL if time.monotonic() - self._last_job < BUSY_SECONDS else self._idle_poll
        stop = asyncio.create_task(self._stopping.wait())
        await asyncio.wait(
            {stop, *self._running}, timeout=None if full else seconds, return_when=asyncio.FIRST_COMPLETED
        )
        stop.cancel()

    async def _keep(self, job: Job) -> None:
        """Does a job while its lease is kept alive; gives it back when cancelled."""
        structlog.contextvars.bind_contextvars(
            job_id=job.id, kind=job.kind, **({"asset_id": job.subject.id} if job.subject else {})
        )
        counters.attempts.labels(job.kind).inc()
        with counters.in_hand.labels(job.kind).track_inprogress():
            outcome = "released"
            try:
                outcome = await self._outcome(job)
            finally:
                counters.jobs.labels(job.kind, outcome).inc()

    async def _outcome(self, job: Job) -> str:
        work = asyncio.ensure_future(self._hands[job.kind](job))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=self._queue.lease_seconds / 3)
                if not work.done() and not await self._still_ours(job):
                    return "lost"
            return await work
        except ApiError as error:
            # The lease ends by itself and the job comes round again, here or elsewhere.
            log.warning("outcome_not_recorded", code=error.code)
            return "lost"
        except asyncio.CancelledError:
            await self._stop(work)
            await self._give_back(job)
            raise
        except Exception:
            # A fault of ours must not take the other jobs in hand with it.
            log.exception("job_broke")
            return "broke"
        finally:
            await self._stop(work)

    async def _still_ours(self, job: Job) -> bool:
        try:
            await self._queue.extend_lease(job)
        except ApiError as error:
            if error.code == "conflict":
                log.warning("lease_lost")
                return False
        return True

    async def _give_back(self, job: Job) -> None:
        try:
            await self._queue.release_job(job)
            log.info("job_released")
        except ApiError as error:
            log.warning("job_not_released", code=error.code)

    @staticmethod
    async def _stop(work: "asyncio.Future[str]") -> None:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
