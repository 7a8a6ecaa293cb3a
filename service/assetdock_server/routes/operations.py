"""For whoever runs the service: does it live, can it work."""

import asyncio
import time
from collections.abc import Awaitable

import structlog
from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.errors import ApiError
from assetdock_server.identity.jwks import Jwks
from assetdock_server.metrics import CONTENT_TYPE, exposition, show_queue
from assetdock_server.routes.resources import Resources, resources
from assetdock_server.routes.responses import json_response

log = structlog.get_logger()


async def healthz(_: Request) -> Response:
    """GET /healthz: the process lives."""
    return json_response({"status": "ok"})


async def readyz(request: Request) -> Response:
    """GET /readyz: 200 when every server behind us answers, else 503; says which does not."""
    readiness: Readiness = request.app.state.readiness
    checks = await readiness.checks(resources(request))
    ready = all(state == "ok" for state in checks.values())
    return json_response({"status": "ok" if ready else "unavailable", "checks": checks}, 200 if ready else 503)


async def metrics(request: Request) -> Response:
    """GET /metrics: what this process counted and what waits in the queue, in Prometheus's text format."""
    await request.app.state.queue_gauges.refresh(resources(request))
    return Response(exposition(), headers={"Content-Type": CONTENT_TYPE})


class Readiness:
    """Asks the servers behind us at most once a second, however many ask us."""

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._checks: dict[str, str] = {}

    async def checks(self, using: Resources) -> dict[str, str]:
        """`ok` or the code of what is wrong, for database, storage and signing_keys; `stale` for keys that cannot be
        fetched any more while the last ones are in force.
        """
        async with self._asking:
            if time.monotonic() - self._asked_at > 1:
                states = await asyncio.gather(
                    _state(using.directory.ping()),
                    _state(using.storage.check()),
                    _state_of_keys(using.jwks),
                )
                self._checks = dict(zip(("database", "storage", "signing_keys"), states, strict=True))
                self._asked_at = time.monotonic()
            return self._checks


class QueueGauges:
    """Asks the database about its queue at most every few seconds, however often we are scraped."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")

    async def refresh(self, using: Resources) -> None:
        """Brings the gauges up to date. Never raises: without a database the rest is told all the same."""
        async with self._asking:
            if time.monotonic() - self._asked_at < self._every:
                return
            try:
                show_queue(await asyncio.wait_for(using.directory.queue_stats(), 2))
            except (ApiError, TimeoutError):
                show_queue(None)
            self._asked_at = time.monotonic()


async def _state_of_keys(jwks: Jwks) -> str:
    state = await _state(jwks.require())
    return "stale" if state != "ok" and jwks.in_force else state


async def _state(check: Awaitable[None]) -> str:
    try:
        await asyncio.wait_for(check, 5)
    except ApiError as error:
        return error.code
    except TimeoutError:
        return "upstream_timeout"
    return "ok"
