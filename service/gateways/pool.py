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
from yarl import URL

from service import metrics
from service.errors import ApiError

# A little over eight seconds, the statement_timeout of `authenticated` on hosted: the database gives up first.
TIMEOUT = httpx.Timeout(10.0, connect=3.0, pool=3.0)
MAX_CONNECTIONS = 200
T = TypeVar("T")

UNAVAILABLE = (502, 503)
TIMED_OUT = (504, 544)  # 544: Supabase Storage's own word for a database that took too long


@dataclass(frozen=True)
class Pool:
    """One set of connections. `clients` is what the Supabase clients are built around. A call through them costs about
    five times what `post` does (docs/decisions/0080), so what nearly every request calls is called with `post`.
    """

    clients: httpx.AsyncClient
    _session: aiohttp.ClientSession

    async def post(self, url: URL, document: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Sends JSON; the status and the JSON that came back, None for a body that is none.

        Raises ApiError for answers that mean "not now", TimeoutError and aiohttp.ClientError.
        """
        async with self._session.post(url, data=document, headers=headers, allow_redirects=False) as response:
            _refuse_unavailable(response.status)
            body = await response.read()
        try:
            return response.status, orjson.loads(body)
        except orjson.JSONDecodeError:
            return response.status, None


@asynccontextmanager
async def http_pool() -> AsyncIterator[Pool]:
    """The process's connections, closed afterwards.

    Building a client costs a TLS context, so there is one for the process. The Supabase clients built around it cost
    next to nothing and must never be closed: that would close the pool.
    """
    metrics.connection_limit.set(MAX_CONNECTIONS)
    tls = httpx.create_ssl_context(trust_env=False)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=4.0, ssl=tls),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT.read, connect=TIMEOUT.connect),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,  # httpx does it, and would do it twice
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    ) as session:
        # The transport takes timeouts from httpx, so those of the session are for `post` alone.
        transport = AiohttpTransport(client=session, verify=tls)
        async with httpx.AsyncClient(
            transport=transport, timeout=TIMEOUT, event_hooks={"response": [_look_at]}, trust_env=False
        ) as clients:
            yield Pool(clients, session)


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
    with metrics.calls_in_flight.track_inprogress():
        try:
            return await _attempt(call, idempotent=idempotent)
        except ApiError as error:
            metrics.upstream_failures.labels(server, error.code).inc()
            raise
        finally:
            metrics.upstream_seconds.labels(server, operation).observe(time.perf_counter() - started)


async def _attempt(call: Callable[[], Awaitable[T]], *, idempotent: bool) -> T:
    try:
        return await _translated(call)
    except ApiError as error:
        broke = isinstance(error.__cause__, httpx.TransportError | aiohttp.ClientError)
        if not (idempotent and broke) or error.status == 504:
            raise
    await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - jitter, not a secret
    return await _translated(call)


async def _translated(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    # httpx-aiohttp says ConnectTimeout of a connection that closed under us, too.
    except (httpx.ConnectTimeout, aiohttp.ConnectionTimeoutError) as error:
        raise unavailable() from error
    except (httpx.TimeoutException, TimeoutError) as error:
        raise ApiError("upstream_timeout") from error
    except (httpx.TransportError, aiohttp.ClientError, OSError) as error:
        raise unavailable() from error
