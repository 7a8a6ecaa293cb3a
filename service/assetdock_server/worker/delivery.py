"""Handles deliver jobs: sends one webhook and records the response."""

import time

import structlog

from assetdock_server.webhooks import signature
from assetdock_server.webhooks.sending import send
from assetdock_server.worker.queue import Job, Queue

log = structlog.get_logger()


class DeliveryHandler:
    """Sends webhooks. An interrupted attempt is repeated: a receiver may get duplicates, but misses nothing."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def work(self, job: Job) -> str:
        """Sends one webhook and records the attempt. Returns `done` or `postponed`. Raises ApiError when the outcome
        cannot be recorded."""
        delivery = await self._queue.begin_delivery(job)
        if delivery["outcome"] != "send":
            log.info("delivery_dropped", delivery_id=delivery["delivery_id"])
            return "done"
        body = delivery["body"].encode()
        attempt = await send(
            delivery["url"],
            body,
            signature.headers(delivery["secrets"], delivery["delivery_id"], int(time.time()), body),
            loopback=delivery["loopback"],
        )
        outcome = await self._queue.record_delivery(job, attempt)
        # The URL and the error stay out of the log: they belong to the owner, and the error may quote the receiver.
        log.info(
            "delivery_attempted",
            delivery_id=delivery["delivery_id"],
            webhook_endpoint_id=delivery["webhook_endpoint_id"],
            status=attempt.status,
            milliseconds=attempt.duration_ms,
            outcome=outcome,
        )
        return "postponed" if outcome == "retry" else "done"
