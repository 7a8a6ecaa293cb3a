"""Handles probe jobs: reads what an asset's file is and records the verdict."""

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
from assetdock_server.media.report import ReadFailure, TransientError
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.media.truncation import is_truncated
from assetdock_server.media.verdict import CHECKSUM_MISMATCH, READ_FAILURES, Failed, Ready, judge
from assetdock_server.worker import counters
from assetdock_server.worker.queue import Job, LeasedAsset, Queue

MAX_SLOT_WAIT = 2.0  # seconds; then the job is given back, because another worker may have a free slot

log = structlog.get_logger()


class NoSlotError(Exception):
    """No slot became free in time, and the probe has not started."""


class ProbeHandler:
    """Probes assets. `slots` limits how many ffprobes run at a time."""

    def __init__(
        self,
        *,
        queue: Queue,
        storage: Storage,
        pool: Pool,
        token: str,
        ffprobe: Ffprobe,
        limits: Limits,
        slots: asyncio.Semaphore,
    ) -> None:
        self._queue = queue
        self._storage = storage
        self._pool = pool
        self._token = token
        self._ffprobe = ffprobe
        self._limits = limits
        self._slots = slots

    async def work(self, job: Job) -> str:
        """Probes the asset and records the outcome. Returns `done`, `postponed` or `dead`, or `released` when no slot
        became free. Raises ApiError when the outcome cannot be recorded."""
        started = time.perf_counter()
        asset = job.require_asset()
        try:
            verdict = await self._verdict(job, asset)
        except NoSlotError:
            await self._queue.release_job(job)
            return "released"
        except (TransientError, ApiError) as error:
            outcome = await self._queue.retry_job(job, f"{type(error).__name__}: {error}")
            log.warning("probe_postponed", attempt=job.attempt, outcome=outcome, reason=str(error))
            if outcome == "dead":
                counters.failures.labels("probe_crashed").inc()
            return "postponed" if outcome == "retry" else outcome
        if isinstance(verdict, Ready):
            await self._queue.complete_probe(job, verdict)
            log.info("asset_ready", attempt=job.attempt, seconds=str(verdict.duration))
        else:
            await self._queue.reject_probe(job, verdict)
            counters.failures.labels(verdict.code).inc()
            log.info("asset_failed", attempt=job.attempt, code=verdict.code)
        counters.probe_seconds.observe(time.perf_counter() - started)
        return "done"

    async def _verdict(self, job: Job, asset: LeasedAsset) -> Ready | Failed:
        """Reads a few ranges of the file. Reads all of it only for the checksum of a file that passed."""
        signed = await self._storage.sign_download(self._token, BUCKET, asset.id)
        if signed is None:
            return READ_FAILURES["missing"]
        async with self._slot():
            await self._queue.begin_probe(job)
            downloads = self._pool.downloads
            report = await probe(
                signed.url,
                ffprobe=self._ffprobe,
                limits=self._limits,
                declared=asset.declared_content_type,
                size=asset.size_bytes,
                read_range=partial(read_range, downloads, signed.url),
            )
        verdict = judge(asset.type, report, asset.declared_content_type)
        if isinstance(report, ReadFailure) or isinstance(verdict, Failed):
            return verdict
        if await is_truncated(downloads, signed.url, report):
            return READ_FAILURES["truncated"]
        if asset.sha256 is None:
            return verdict
        signed = await self._storage.sign_download(self._token, BUCKET, asset.id)  # the first URL may have expired
        if signed is None:
            return READ_FAILURES["missing"]
        digest = await sha256(downloads, signed.url, asset.size_bytes or 0)
        return verdict if digest == asset.sha256 else CHECKSUM_MISMATCH

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(MAX_SLOT_WAIT):
                await self._slots.acquire()
        except TimeoutError as error:
            raise NoSlotError from error
        try:
            yield
        finally:
            self._slots.release()
