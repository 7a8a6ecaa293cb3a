"""What has to happen by the clock, and that no job stands for. Every worker does it; the database shares it out."""

import asyncio
import random

import structlog

from assetdock_server.errors import ApiError
from assetdock_server.worker import counters
from assetdock_server.worker.queue import Queue

EVERY_SECONDS = 5.0

log = structlog.get_logger()


async def run_maintenance(queue: Queue, every: float = EVERY_SECONDS) -> None:
    """Runs until cancelled. A database that is away is the loop's to complain about."""
    while True:
        await asyncio.sleep(every * random.uniform(0.7, 1.3))  # noqa: S311 - so that workers don't march in step
        try:
            expired = await queue.run_maintenance()
        except ApiError as error:
            counters.maintenance_failures.inc()
            if error.code == "upstream_unavailable":
                log.debug("maintenance_failures", code=error.code)
            else:
                log.warning("maintenance_failures", code=error.code)
            continue
        except Exception:
            # A fault of ours must not end this for the rest of the worker's life: nothing would expire any more.
            counters.maintenance_failures.inc()
            log.exception("maintenance_failures")
            continue
        counters.expired.inc(len(expired))
        for asset_id in expired:
            log.info("upload_expired", asset_id=asset_id)
