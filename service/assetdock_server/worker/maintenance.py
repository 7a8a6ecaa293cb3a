"""Runs the periodic maintenance of the database. Every worker calls it; the database divides the work."""

import asyncio
import random

import structlog

from assetdock_server.errors import ApiError
from assetdock_server.worker import counters
from assetdock_server.worker.queue import Queue

INTERVAL_SECONDS = 5.0

log = structlog.get_logger()


async def run_maintenance(queue: Queue, interval: float = INTERVAL_SECONDS) -> None:
    """Runs until cancelled, about every `interval` seconds."""
    while True:
        await asyncio.sleep(interval * random.uniform(0.7, 1.3))  # noqa: S311 - jitter, so that workers spread out
        try:
            expired = await queue.run_maintenance()
        except ApiError as error:
            counters.maintenance_failures.inc()
            if error.code == "upstream_unavailable":
                log.debug("maintenance_failures", code=error.code)  # the loop reports it as queue_unreachable
            else:
                log.warning("maintenance_failures", code=error.code)
            continue
        except Exception:
            # Without this, one bug would end the expiry of reservations until the worker restarts.
            counters.maintenance_failures.inc()
            log.exception("maintenance_failures")
            continue
        counters.expired.inc(len(expired))
        for asset_id in expired:
            log.info("upload_expired", asset_id=asset_id)
