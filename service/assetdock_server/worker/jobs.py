"""Runs one leased job: keeps its lease alive, and gives the job back when the worker stops."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from assetdock_server.errors import ApiError
from assetdock_server.worker import counters
from assetdock_server.worker.queue import Job, Queue

# Does a job and returns its outcome for the metrics: done, postponed, dead, more or released. Raises ApiError.
Handler = Callable[[Job], Awaitable[str]]

log = structlog.get_logger()


class JobRunner:
    """Runs jobs with the handler for their kind."""

    def __init__(self, queue: Queue, handlers: Mapping[str, Handler]) -> None:
        self._queue = queue
        self._handlers = handlers

    async def run(self, job: Job) -> None:
        """Runs a job while its lease is kept alive. Gives the job back when cancelled."""
        structlog.contextvars.bind_contextvars(
            job_id=job.id, kind=job.kind, **({"asset_id": job.asset.id} if job.asset else {})
        )
        counters.attempts.labels(job.kind).inc()
        with counters.running.labels(job.kind).track_inprogress():
            outcome = "released"
            try:
                outcome = await self._outcome(job)
            finally:
                counters.jobs.labels(job.kind, outcome).inc()

    async def _outcome(self, job: Job) -> str:
        work = asyncio.ensure_future(self._handle(job))
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=self._queue.lease_seconds / 3)
                if not work.done() and not await self._extend_lease(job):
                    return "lost"
            return await work
        except ApiError as error:
            # The lease expires, and then this or another worker gets the job again.
            log.warning("outcome_not_recorded", code=error.code)
            return "lost"
        except asyncio.CancelledError:
            await _cancel(work)
            await self._give_back(job)
            raise
        except Exception:
            # A bug in one handler must not stop the other jobs.
            log.exception("job_crashed")
            return "crashed"
        finally:
            await _cancel(work)

    async def _handle(self, job: Job) -> str:
        return await self._handlers[job.kind](job)  # a kind that was not asked for is a bug, and fails in the task

    async def _extend_lease(self, job: Job) -> bool:
        """Returns False when another worker has the job. Any other failure may be temporary."""
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


async def _cancel(work: "asyncio.Future[str]") -> None:
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
