"""The connections of a process, the two ways to use them, and what their failures mean."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import httpx
import orjson
from httpx_aiohttp import AiohttpTransport

from assetdock_server import metrics
from assetdock_server.errors import ApiError
from assetdock_server.gateways import wire

# A little over eight seconds, the statement_timeout of `authenticated` on hosted: the database gives up first.
TIMEOUT = httpx.Timeout(10.0, connect=3.0, pool=3.0)
MAX_CONNECTIONS = 200  # of the hot calls
MAX_OF_CLIENTS = 50  # beside those
T = TypeVar("T")

UNAVAILABLE = (502, 503)
TIMED_OUT = (504, 544)  # 544: Supabase Storage's own word for a database that took too long
TROUBLE = (httpx.TransportError, OSError)  # of transport; TimeoutError is an OSError


@dataclass(frozen=True)
class Pool:
    """`clients` is what the Supabase clients are built around. A call through them costs many times what one straight
    to a `server` does (docs/decisions/0080), so what nearly every request calls is called that way.
    """

    clients: httpx.AsyncClient
    _server: Callable[[str], wire.Server]

    def server(self, url: str) -> "Straight":
        """The server at this URL, to be called directly."""
        return Straight(self._server(url))


@dataclass(frozen=True)
class Straight:
    """A server that takes JSON and answers with JSON."""

    _server: wire.Server

    async def post(self, path: str, document: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        """The status and the JSON that came back, None for a body that is none.

        Raises ApiError for answers that mean "not now", TimeoutError and wire.BrokenError.
        """
        status, body = await self._server.post(path, document, headers)
        _refuse_unavailable(status)
        try:
            return status, orjson.loads(body)
        except orjson.JSONDecodeError:
            return status, None


@asynccontextmanager
async def http_pool() -> AsyncIterator[Pool]:
    """The process's connections, closed afterwards.

    Building a client costs a TLS context, so there is one for the process. The Supabase clients built around it cost
    next to nothing and must never be closed: that would close the pool.
    """
    metrics.connection_limit.set(MAX_CONNECTIONS)
    tls = httpx.create_ssl_context(trust_env=False)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_OF_CLIENTS, keepalive_timeout=4.0, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # httpx does it, and would do it twice
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    ) as session:
        transport = AiohttpTransport(client=session, verify=tls)
        async with httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT, event_hooks={"response": [_look_at]}, trust_env=False
        ) as clients:
            servers: list[wire.Server] = []
            places = asyncio.Semaphore(MAX_CONNECTIONS)

            def server(url: str) -> wire.Server:
                found = wire.Server(
                    url, tls=tls, places=places, seconds=TIMEOUT.read or 0, connect_seconds=TIMEOUT.connect or 0
                )
                servers.append(found)
                return found

            try:
                yield Pool(clients, server)
            finally:
                for each in servers:
                    each.close()


async def _look_at(response: httpx.Response) -> None:
    _refuse_unavailable(response.status_code)


def _refuse_unavailable(status: int) -> None:
    # The Supabase clients drop the status, and bodies from a proxy in between say nothing reliable.
    if status in UNAVAILABLE:
        raise unavailable()
    if status in TIMED_OUT:
        raise ApiError("upstream_timeout")


def unavailable() -> ApiError:
    """503: try again in a moment."""
    return ApiError("upstream_unavailable", headers={"Retry-After": "2"})


async def attempt(call: Callable[[], Awaitable[T]], *, server: str, operation: str, idempotent: bool) -> T:
    """Awaits a call upstream, once more after a broken connection if it is idempotent.

    `server` and `operation` are for the metrics. Raises ApiError `upstream_timeout` or `upstream_unavailable` for
    failures of transport.
    """
    started = time.perf_counter()
    once_more = idempotent
    metrics.calls_in_flight.inc()
    try:
        while True:
            try:
                return await call()
            except TROUBLE as error:
                refusal = _translated(error)
                if not (once_more and _broke(error)) or refusal.status == 504:
                    raise refusal from error
            once_more = False
            await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - jitter, not a secret
    except ApiError as error:
        metrics.upstream_failures.labels(server, error.code).inc()
        raise
    finally:
        metrics.calls_in_flight.dec()
        metrics.upstream_seconds_of(server, operation).observe(time.perf_counter() - started)


def _broke(error: Exception) -> bool:
    if isinstance(error, wire.CrowdedError):
        return False  # asking again would only crowd it more
    return isinstance(error, httpx.TransportError | wire.BrokenError)


def _translated(error: Exception) -> ApiError:
    # httpx-aiohttp says ConnectTimeout of a connection that closed under us, too.
    if isinstance(error, httpx.TimeoutException | TimeoutError) and not isinstance(error, httpx.ConnectTimeout):
        return ApiError("upstream_timeout")
    return unavailable()
