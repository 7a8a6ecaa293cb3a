"""The HTTP connections of the process, and how failures of an upstream call are retried and reported."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import httpx
from pyreqwest.client import Client, ClientBuilder
from pyreqwest.compatibility.httpx import HttpxTransport
from pyreqwest.exceptions import ConnectTimeoutError, PoolTimeoutError, PyreqwestError

from assetdock_server import metrics
from assetdock_server.errors import ApiError
from assetdock_server.gateways.direct_http import DirectPoolTimeoutError, DirectServer
from assetdock_server.gateways.upstream_responses import unavailable
from assetdock_server.http_client import client_builder, failed_to_connect, tls_context

T = TypeVar("T")

TRANSPORT_ERRORS = (PyreqwestError, httpx.RequestError, OSError)


@dataclass(frozen=True)
class Limits:
    """Limits of the calls to PostgREST, Storage and Auth. Times in seconds."""

    max_connections: int = 200  # of direct calls
    max_official_connections: int = 50  # of the official clients, beside those
    connect_timeout: float = 3.0
    pool_timeout: float = 3.0
    # Longer than the statement_timeout of `authenticated` on hosted Supabase (8 s): the database times out first.
    total_timeout: float = 10.0
    # Shorter than the idle timeout of any server or proxy in between.
    pool_idle_timeout: float = 4.0


DOWNLOAD_READ_TIMEOUT = timedelta(seconds=15)
MAX_DOWNLOADS = 50


@dataclass(frozen=True)
class Pool:
    """`supabase` is `client` as Supabase's clients need it; `received` returns the response to their calls. A call
    through them costs many times as much as a direct one (docs/decisions/0090). `downloads` reads objects: its calls
    have a time limit for each read and none in total.
    """

    client: Client
    supabase: httpx.AsyncClient
    downloads: Client
    server: Callable[[str], DirectServer]  # the server at a URL, for direct calls


class _ResponseReceivedError(Exception):
    """Carries a response past the official client that made the request."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.response = status, body


async def received(call: Callable[[], Awaitable[object]]) -> tuple[int, bytes]:
    """Status and body of the response to a call of an official client on `Pool.supabase`.

    The client does not read the response itself: it would drop the status of an error, and turn an empty or HTML body
    into a result.
    """
    try:
        await call()
    except _ResponseReceivedError as received:
        return received.response
    raise RuntimeError("the client made no request")


@asynccontextmanager
async def http_pool(limits: Limits | None = None) -> AsyncIterator[Pool]:
    """The connections of the process. Closes them at the end.

    Supabase's clients are cheap to build around `Pool.supabase`. Do not close them: that would close the pool.
    """
    limits = limits or Limits()
    metrics.connection_limit.set(limits.max_connections)
    total_timeout = timedelta(seconds=limits.total_timeout)
    official = _builder(limits).timeout(total_timeout).pool_timeout(timedelta(seconds=limits.pool_timeout))
    downloads = _builder(limits).read_timeout(DOWNLOAD_READ_TIMEOUT).pool_timeout(DOWNLOAD_READ_TIMEOUT)
    async with (
        official.max_connections(limits.max_official_connections).build() as client,
        downloads.max_connections(MAX_DOWNLOADS).build() as download_client,
        httpx.AsyncClient(
            transport=HttpxTransport(client, close_client=False),
            timeout=None,  # noqa: S113 - `client` has the limits; the transport would add httpx's up to one
            event_hooks={"response": [_hand_over]},
            trust_env=False,
        ) as supabase,
    ):
        tls, capacity, servers = tls_context(), asyncio.Semaphore(limits.max_connections), list[DirectServer]()

        def direct_server(url: str) -> DirectServer:
            servers.append(
                DirectServer(
                    url,
                    tls=tls,
                    capacity=capacity,
                    total_timeout=limits.total_timeout,
                    connect_timeout=limits.connect_timeout,
                    pool_timeout=limits.pool_timeout,
                    idle_timeout=limits.pool_idle_timeout,
                )
            )
            return servers[-1]

        try:
            yield Pool(client, supabase, download_client, direct_server)
        finally:
            for server in servers:
                server.close()


def _builder(limits: Limits) -> ClientBuilder:
    builder = client_builder().connect_timeout(timedelta(seconds=limits.connect_timeout))
    return builder.pool_idle_timeout(timedelta(seconds=limits.pool_idle_timeout))


async def _hand_over(response: httpx.Response) -> None:
    raise _ResponseReceivedError(response.status_code, await response.aread())


async def attempt(call: Callable[[], Awaitable[T]], *, server: str, operation: str, idempotent: bool) -> T:
    """Awaits an upstream call. Retries an idempotent call once after a broken connection, but not after a timeout.

    `server` and `operation` are labels of the metrics. Raises ApiError `upstream_timeout` or `upstream_unavailable`
    for failures of transport.
    """
    started = time.perf_counter()
    retry = idempotent
    metrics.calls_in_flight.inc()
    try:
        while True:
            try:
                return await call()
            except TRANSPORT_ERRORS as error:
                cause = error.__cause__ or error if isinstance(error, httpx.RequestError) else error
                if _is_call_timeout(cause):
                    raise ApiError("upstream_timeout") from error
                # A retry without a free connection would only add to the load.
                if not retry or isinstance(cause, PoolTimeoutError | DirectPoolTimeoutError):
                    raise unavailable() from error
            retry = False
            await asyncio.sleep(random.uniform(0.02, 0.1))  # noqa: S311 - jitter, not a secret
    except ApiError as error:
        if error.status >= 500:  # the others are the server's decision about the caller's request
            metrics.upstream_failures.labels(server, error.code).inc()
        raise
    finally:
        metrics.calls_in_flight.dec()
        metrics.upstream_seconds_of(server, operation).observe(time.perf_counter() - started)


def _is_call_timeout(error: BaseException) -> bool:
    """Whether the request may have reached the server, which did not respond in time."""
    if isinstance(error, ConnectTimeoutError):
        return not failed_to_connect(error)
    return isinstance(error, TimeoutError) and not isinstance(error, PoolTimeoutError)
