"""Jobs that end things: the purge of one asset's bytes, and of everything a user had who left."""

import structlog

from assetdock_server.config import BUCKET
from assetdock_server.errors import ApiError
from assetdock_server.gateways.storage import Storage
from assetdock_server.worker.queue import Job, Queue

log = structlog.get_logger()


class Purger:
    """Does purge jobs. Each step may be done again after a crash at any point."""

    def __init__(self, *, queue: Queue, storage: Storage, token: str) -> None:
        self._queue = queue
        self._storage = storage
        self._token = token

    async def work(self, job: Job) -> str:
        """Deletes the bytes and records that they are gone: `done` or `postponed`. Raises ApiError when nothing can be
        recorded."""
        # Committed before Storage is asked: from here on nobody can restore an asset whose bytes are going.
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
            # Either the lease is gone, and this call is refused as well, or the object is still there.
            return await self._postpone(job, error.text)
        log.info("asset_purged", attempt=job.attempt)
        return "done"

    async def _postpone(self, job: Job, why: str) -> str:
        await self._queue.retry_job(job, why)
        log.warning("purge_postponed", attempt=job.attempt, why=why)
        return "postponed"


class OwnerPurger:
    """Does the jobs that a deleted user leaves, a batch at a time."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def work(self, job: Job) -> str:
        """Deletes the next assets of the user. Raises ApiError."""
        outcome = await self._queue.purge_owner_batch(job)
        log.info("owner_purged" if outcome == "done" else "owner_purge_continues", owner_id=job.owner_id)
        return outcome
