"""Liveness, readiness and metrics, for operators."""

import asyncio
import time
from collections.abc import Awaitable

import structlog
from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.errors import ApiError
from assetdock_server.gateways.refused_tokens import RefusedTokenError
from assetdock_server.gateways.storage import StorageTooOldError
from assetdock_server.identity.jwks import Jwks
from assetdock_server.metrics import CONTENT_TYPE, exposition, show_queue
from assetdock_server.routes.resources import Resources, resources
from assetdock_server.routes.responses import json_response

log = structlog.get_logger()


async def healthz(_: Request) -> Response:
    """GET /healthz: the process runs."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """GET /readyz: 200 if every upstream server works, else 503, with the state of each."""
    readiness: Readiness = request.app.state.readiness
    services = resources(request)
    checks = await readiness.checks(services)
    ready = all(state == "ok" for state in checks.values())
    report = {
        "status": "ok" if ready else "unavailable",
        "checks": checks,
        "storage_version": services.storage.version,
    }
    return json_response(report, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """GET /metrics: the metrics of this process and of the queue, in the Prometheus text format."""
    await request.app.state.queue_gauges.refresh(resources(request))
    return Response(exposition(), headers={"Content-Type": CONTENT_TYPE})


class Readiness:
    """Checks the upstream servers at most once a second, and caches the results in between."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")
        self._checks: dict[str, str] = {}

    async def checks(self, services: Resources) -> dict[str, str]:
        """The state of database, storage and signing_keys: `ok` or an error code. Signing keys are `stale` if they
        cannot be fetched but previous keys are loaded. The database is `signing_key_refused` or `clock_skew` if it
        refuses the tokens that the service mints.
        """
        async with self._lock:
            if time.monotonic() - self._checked_at > 1:
                states = await asyncio.gather(
                    _state(services.directory.ping()),
                    _state(services.storage.check()),
                    _signing_keys_state(services.jwks),
                )
                self._checks = dict(zip(("database", "storage", "signing_keys"), states, strict=True))
                self._checked_at = time.monotonic()
            return self._checks


class QueueGauges:
    """Queries the database for the state of its queue, at most once in `every` seconds."""

    def __init__(self, interval: float = 5.0) -> None:
        self._interval = interval
        self._lock = asyncio.Lock()
        self._checked_at = float("-inf")

    async def refresh(self, services: Resources) -> None:
        """Updates the gauges. Raises nothing: the other metrics are served without the database, too."""
        async with self._lock:
            if time.monotonic() - self._checked_at < self._interval:
                return
            try:
                show_queue(await asyncio.wait_for(services.directory.queue_stats(), 2))
            except (ApiError, TimeoutError):
                show_queue(None)
            self._checked_at = time.monotonic()


async def _signing_keys_state(jwks: Jwks) -> str:
    state = await _state(jwks.require())
    return "stale" if state != "ok" and jwks.is_loaded else state


async def _state(check: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(check, 5)
    except (RefusedTokenError, StorageTooOldError) as error:
        return error.readiness
    except ApiError as error:
        return error.code
    except TimeoutError:
        return "upstream_timeout"
    return "ok"
