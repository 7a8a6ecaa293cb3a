"""The one HTTP pool of a process, and what its failures mean."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
from httpx_aiohttp import AiohttpTransport

from service import metrics
from service.errors import ApiError

# A little over eight seconds, the statement_timeout of `authenticated` on hosted: the database gives up first.
TIMEOUT = httpx.Timeout(10.0, connect=3.0, pool=3.0)
T = TypeVar("T")

UNAVAILABLE = (502, 503)
TIMED_OUT = (504, 544)  # 544: Supabase Storage's own word for a database that took too long


@asynccontextmanager
async def http_pool() -> AsyncIterator[httpx.AsyncClient]:
    """A pooled client on aiohttp, whose answers that mean "not now" are raised as ApiError.

    Building one costs a TLS context, so there is one for the process. The Supabase clients built around it cost next
    to nothing and must never be closed: that would close the pool.
    """
    transport = AiohttpTransport(limits=httpx.Limits(max_connections=200, keepalive_expiry=4.0))
    async with httpx.AsyncClient(
        transport=transport, timeout=TIMEOUT, event_hooks={"response": [_refuse_unavailable]}, trust_env=False
    ) as client:
        yield client


async def _refuse_unavailable(response: httpx.Response) -> None:
    # The Supabase clients drop the status, and bodies from a proxy in between say nothing reliable.
    if response.status_code in UNAVAILABLE:
        raise unavailable()
    if response.status_code in TIMED_OUT:
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
    with metrics.connections_in_use.track_inprogress():
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
        if not (idempotent and isinstance(error.__cause__, httpx.TransportError)) or error.status == 504:
            raise
    await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - jitter, not a secret
    return await _translated(call)


async def _translated(call: Callable[[], Awaitable[T]]) -> T:
    try:
        return await call()
    except httpx.ConnectTimeout as error:
        # httpx-aiohttp gives this name to a connection that closed under us, too.
        raise unavailable() from error
    except httpx.TimeoutException as error:
        raise ApiError("upstream_timeout") from error
    except httpx.TransportError as error:
        raise unavailable() from error
    except OSError as error:
        raise unavailable() from error
