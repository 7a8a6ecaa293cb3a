"""Handles purge_owner jobs: deletes the assets of a deleted user."""

import structlog

from assetdock_server.worker.queue import Job, Queue

log = structlog.get_logger()


class OwnerPurgeHandler:
    """Deletes the assets of a deleted user in batches."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def work(self, job: Job) -> str:
        """Deletes the next batch. Returns `done`, or `more` when the job is back in the queue. Raises ApiError."""
        outcome = await self._queue.purge_owner_batch(job)
        log.info("owner_purged" if outcome == "done" else "owner_purge_continues", owner_id=job.owner_id)
        return outcome
