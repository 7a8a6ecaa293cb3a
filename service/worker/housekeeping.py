"""What has to happen by the clock, and that no job stands for. Every worker does it; the database shares it out."""

import asyncio
import random

import structlog

from service.errors import ApiError
from service.worker import counters
from service.worker.queue import Queue

EVERY_SECONDS = 5.0

log = structlog.get_logger()


async def keep_house(queue: Queue, every: float = EVERY_SECONDS) -> None:
    """Runs until cancelled. A database that is away is the loop's to complain about."""
    while True:
        await asyncio.sleep(every * random.uniform(0.7, 1.3))  # noqa: S311 - so that workers don't march in step
        try:
            expired = await queue.keep_house()
        except ApiError as error:
            log.debug("house_not_kept", code=error.code)
            continue
        if expired:
            counters.expired.inc(expired)
            log.info("uploads_expired", count=expired)
