"""The worker process: builds the handlers, serves metrics, and stops on a signal."""

import asyncio
import contextlib
import os
import signal
import socket
import uuid
from collections.abc import Iterator, Mapping

import structlog
from prometheus_client import start_http_server

from assetdock_server import files
from assetdock_server.config import ConfigError, WorkerSettings
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from assetdock_server.media.binary import UnusableFfprobeError, find
from assetdock_server.media.sandbox.run import Limits
from assetdock_server.metrics import REGISTRY
from assetdock_server.worker.delivery import DeliveryHandler
from assetdock_server.worker.hardening import disable_dumping
from assetdock_server.worker.jobs import Handler
from assetdock_server.worker.loop import DELIVERY_IDLE_POLL, Worker
from assetdock_server.worker.maintenance import run_maintenance
from assetdock_server.worker.owner_purging import OwnerPurgeHandler
from assetdock_server.worker.probing import ProbeHandler
from assetdock_server.worker.purging import PurgeHandler
from assetdock_server.worker.queue import Queue
from assetdock_server.worker.token import check, count_down

# Deliveries mostly wait for receivers. They have capacity of their own, so that slow receivers delay no probe.
DELIVERY_CONCURRENCY = 16

log = structlog.get_logger()


async def run(settings: WorkerSettings, concurrency: int) -> int:
    """Works until SIGTERM or SIGINT and returns the exit code. Raises ConfigError when no ffprobe is usable."""
    limits = Limits(seconds=settings.probe_seconds)
    log.info("dumping_disabled" if disable_dumping() else "dumping_not_disabled")
    try:
        ffprobe = await find(files.checkout(), limits=limits)
        ffprobe.accept(settings.connection.bytes_origin)
    except UnusableFfprobeError as error:
        raise ConfigError(str(error)) from error
    connection = settings.connection
    async with http_pool() as pool:
        queue = Queue(
            Postgrest(pool, url=connection.rest_url, publishable_key=connection.publishable_key),
            token=settings.token,
            worker=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
            lease_seconds=settings.lease_seconds,
        )
        count_down(settings.token)
        await check(queue, settings.token)
        storage = Storage(
            pool, url=connection.storage_url, bytes_url=connection.bytes_url, publishable_key=connection.publishable_key
        )
        probes = ProbeHandler(
            queue=queue,
            storage=storage,
            pool=pool,
            token=settings.token,
            ffprobe=ffprobe,
            limits=limits,
            slots=asyncio.Semaphore(concurrency),
        )
        # The most urgent kind first. Other workers take the kinds that are not listed here.
        handlers: Mapping[str, Handler] = {
            "probe": probes.work,
            "purge_owner": OwnerPurgeHandler(queue).work,
            "purge": PurgeHandler(queue=queue, storage=storage, token=settings.token).work,
        }
        delivery_handlers: Mapping[str, Handler] = {"deliver": DeliveryHandler(queue).work}
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, _on_signal, number, stopping)
        with _serving_metrics(settings):
            kinds = [*handlers, *delivery_handlers]
            log.info("worker_started", concurrency=concurrency, kinds=kinds, ffprobe=str(ffprobe.path))
            maintenance = asyncio.create_task(run_maintenance(queue))
            await asyncio.gather(
                Worker(queue, handlers, concurrency, stopping, prefetched=("probe",)).run(),
                Worker(queue, delivery_handlers, DELIVERY_CONCURRENCY, stopping, idle_poll=DELIVERY_IDLE_POLL).run(),
            )
            maintenance.cancel()
            await asyncio.gather(maintenance, return_exceptions=True)
    log.info("worker_stopped")
    return 0


def _on_signal(number: signal.Signals, stopping: asyncio.Event) -> None:
    """The first signal asks the worker to finish. The second ends the process at once, and the kernel then kills its
    ffprobes."""
    if stopping.is_set():
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    log.info("worker_stopping")
    stopping.set()


@contextlib.contextmanager
def _serving_metrics(settings: WorkerSettings) -> Iterator[None]:
    if settings.metrics_port is None:
        yield
        return
    try:
        server, thread = start_http_server(settings.metrics_port, settings.host, REGISTRY)
    except OSError as error:
        raise ConfigError(f"ASSETDOCK_WORKER_METRICS_PORT {settings.metrics_port} cannot be opened: {error}") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
