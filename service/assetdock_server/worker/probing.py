"""One probe job from its lease to its outcome."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog

from assetdock_server.config import BUCKET
from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import Pool
from assetdock_server.gateways.storage import Storage
from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.ffprobe import probe
from assetdock_server.media.object_bytes import read_range, sha256
from assetdock_server.media.report import Media, TransientError, ReadFailure
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.media.truncation import is_truncated
from assetdock_server.media.verdict import READ_FAILURES, CHECKSUM_MISMATCH, Failed, Ready, judge
from assetdock_server.worker import counters
from assetdock_server.worker.queue import Job, Queue, LeasedAsset

UNSPECIFIC = "application/octet-stream"
MAX_SLOT_WAIT = 2.0  # seconds a job waits for its turn; then another worker, which may be free, can have it

log = structlog.get_logger()


class NoSlotError(Exception):
    """Nothing was begun."""


class Prober:
    """Does probe jobs. Holds nothing between them but `turns`: how many ffprobes may run at a time."""

    def __init__(
        self,
        *,
        queue: Queue,
        storage: Storage,
        pool: Pool,
        token: str,
        ffprobe: Ffprobe,
        limits: Limits,
        turns: asyncio.Semaphore,
    ) -> None:
        self._queue = queue
        self._storage = storage
        self._pool = pool
        self._token = token
        self._ffprobe = ffprobe
        self._limits = limits
        self._turns = turns

    async def work(self, job: Job) -> str:
        """Probes the asset's bytes and records the outcome, which it returns: `done`, `postponed` or `dead`; or
        gives the job back when its turn doesn't come: `released`. Raises ApiError when it can't be recorded."""
        started = time.perf_counter()
        asset = job.asset
        try:
            verdict = await self._verdict(asset)
        except NoSlotError:
            await self._queue.release_job(job)
            return "released"
        except (TransientError, ApiError) as error:
            outcome = await self._queue.retry_job(job, f"{type(error).__name__}: {error}")
            log.warning("probe_postponed", attempt=job.attempt, outcome=outcome, why=str(error))
            if outcome == "dead":
                counters.failures.labels("probe_crashed").inc()
            return "postponed" if outcome == "retry" else outcome
        if isinstance(verdict, Ready):
            declared = asset.content_type
            content_type = verdict.content_type if declared in (None, UNSPECIFIC) else declared
            await self._queue.complete_probe(job, verdict, content_type or verdict.content_type)
            log.info("asset_ready", attempt=job.attempt, seconds=str(verdict.duration))
        else:
            await self._queue.reject_probe(job, verdict)
            counters.failures.labels(verdict.code).inc()
            log.info("asset_failed", attempt=job.attempt, code=verdict.code)
        counters.probe_seconds.observe(time.perf_counter() - started)
        return "done"

    async def _verdict(self, asset: LeasedAsset) -> Ready | Failed:
        """A few range reads say most; all the bytes are read only for a file that passed, and only if asked for."""
        signed = await self._storage.sign_download(self._token, BUCKET, asset.id)
        if signed is None:
            return judge(asset.type, ReadFailure("missing"))
        async with self._turn():
            report = await probe(
                signed.url,
                ffprobe=self._ffprobe,
                limits=self._limits,
                declared=asset.content_type,
                size=asset.size_bytes,
                read_range=partial(read_range, self._pool.downloads, signed.url),
            )
        verdict = judge(asset.type, report, asset.content_type)
        if (
            isinstance(report, Media)
            and isinstance(verdict, Ready)
            and await is_truncated(self._pool.downloads, signed.url, report)
        ):
            return READ_FAILURES["truncated"]
        if isinstance(verdict, Failed) or asset.sha256 is None:
            return verdict
        signed = await self._storage.sign_download(self._token, BUCKET, asset.id)  # the first may be used up by now
        if signed is None:
            return READ_FAILURES["missing"]
        return (
            verdict
            if await sha256(self._pool.downloads, signed.url, asset.size_bytes or 0) == asset.sha256
            else CHECKSUM_MISMATCH
        )

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(MAX_SLOT_WAIT):
                await self._turns.acquire()
        except TimeoutError as error:
            raise NoSlotError from error
        try:
            yield
        finally:
            self._turns.release()
