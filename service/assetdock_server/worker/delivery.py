"""One deliver job from its lease to its outcome."""

import time

import structlog

from assetdock_server.webhooks import signature
from assetdock_server.webhooks.sending import send
from assetdock_server.worker.queue import Job, Queue

log = structlog.get_logger()


class Deliverer:
    """Does deliver jobs. Holds nothing between them. An attempt that breaks off is made again: duplicates, no gaps."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def work(self, job: Job) -> str:
        """Sends one webhook and records how it went: `done` or `postponed`. Raises ApiError when nothing can be
        recorded."""
        letter = await self._queue.begin_delivery(job)
        if letter["outcome"] != "send":
            log.info("delivery_dropped", delivery_id=letter["delivery_id"])
            return "done"
        body = letter["body"].encode()
        attempt = await send(
            letter["url"],
            body,
            signature.headers(letter["secrets"], letter["delivery_id"], int(time.time()), body),
            loopback=letter["loopback"],
        )
        outcome = await self._queue.record_delivery(job, attempt)
        # Not the URL and not the error, which may quote the receiver: both are their owner's.
        log.info(
            "delivery_attempted",
            delivery_id=letter["delivery_id"],
            webhook_endpoint_id=letter["webhook_endpoint_id"],
            status=attempt.status,
            milliseconds=attempt.duration_ms,
            outcome=outcome,
        )
        return "postponed" if outcome == "retry" else "done"
