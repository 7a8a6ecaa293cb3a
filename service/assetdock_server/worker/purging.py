"""Handles purge jobs: deletes the bytes of one asset."""

import structlog

from assetdock_server.config import BUCKET
from assetdock_server.errors import ApiError
from assetdock_server.gateways.storage import Storage
from assetdock_server.worker.queue import Job, Queue

log = structlog.get_logger()


class PurgeHandler:
    """Deletes an asset's bytes. Every step can be repeated after a crash."""

    def __init__(self, *, queue: Queue, storage: Storage, token: str) -> None:
        self._queue = queue
        self._storage = storage
        self._token = token

    async def work(self, job: Job) -> str:
        """Deletes the bytes and records it. Returns `done` or `postponed`. Raises ApiError when the outcome cannot be
        recorded."""
        # Committed before the call to Storage, so that nobody can restore an asset whose bytes are being deleted.
        name = await self._queue.begin_purge(job)
        try:
            await self._storage.remove(self._token, BUCKET, name)
        except ApiError as error:
            return await self._postpone(job, f"Storage: {error.code} {error.text}")
        try:
            await self._queue.complete_purge(job)
        except ApiError as error:
            if error.code != "conflict":
                raise
            # Either the object still exists, or the lease has expired; then this call is rejected too.
            return await self._postpone(job, error.text)
        log.info("asset_purged", attempt=job.attempt)
        return "done"

    async def _postpone(self, job: Job, reason: str) -> str:
        await self._queue.retry_job(job, reason)
        log.warning("purge_postponed", attempt=job.attempt, reason=reason)
        return "postponed"
