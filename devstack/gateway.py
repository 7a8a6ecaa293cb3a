"""The stack's gateway: /rest/v1, /auth/v1, /storage/v1 and /functions/v1 on one port.

``python -m devstack.gateway --state DIR --port N --postgres-port N --postgrest-port N``
"""

import argparse
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from devstack import postgres
from devstack.api_keys import ApiKeys
from devstack.auth import app as auth
from devstack.cors import Cors
from devstack.keys import Keys
from devstack.ports import HOST
from devstack.reverse_proxy import ReverseProxy
from devstack.storage import app as storage
from devstack.storage.tokens import DEFAULT_UPLOAD_SECONDS
from devstack.storage.uploads import DEFAULT_SIZE_LIMIT

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]
ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True)
class Settings:
    state: Path
    port: int
    postgres_port: int
    postgrest_port: int
    functions_port: int
    function: str | None
    upload_url_seconds: int
    size_limit: int

    @property
    def supabase_url(self) -> str:
        return f"http://{HOST}:{self.port}"


def create_app(settings: Settings) -> Starlette:
    """Composes the gateway. Its connection pools open with it and reconnect after a restart of the database."""
    keys = Keys.of(settings.state)
    auth_pool = _pool(settings, "supabase_auth_admin", size=5)
    storage_pool = _pool(settings, "supabase_storage_admin", size=20)
    rest = ReverseProxy(f"http://{HOST}:{settings.postgrest_port}", "/rest/v1", removed_headers=frozenset({"apikey"}))
    edge = ReverseProxy(f"http://{HOST}:{settings.functions_port}", "/functions/v1")

    storage_app = storage.create_app(
        storage_pool,
        keys,
        settings.state / "storage",
        upload_url_seconds=settings.upload_url_seconds,
        size_limit=settings.size_limit,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        storage_lifespan = storage_app.router.lifespan_context(storage_app)
        async with auth_pool, storage_pool, rest.connected(), edge.connected(), storage_lifespan:
            yield

    return Starlette(
        routes=[
            Route("/health", _health),
            Route("/rest/v1/{path:path}", rest.forward, methods=ALL_METHODS),
            *(
                Route(f"/functions/v1/{settings.function}{rest_of_path}", edge.forward, methods=ALL_METHODS)
                for rest_of_path in ("", "/{path:path}")
                if settings.function
            ),
            Route("/functions/v1/{path:path}", _no_function, methods=ALL_METHODS),
            Mount("/auth/v1", auth.create_app(auth_pool, keys, f"{settings.supabase_url}/auth/v1")),
            Mount("/storage/v1", storage_app),
        ],
        middleware=[Middleware(Cors), Middleware(ApiKeys, keys=keys)],
        exception_handlers={404: _no_route},
        lifespan=lifespan,
    )


def _pool(settings: Settings, role: str, size: int) -> Pool:
    return AsyncConnectionPool(
        postgres.url(settings.postgres_port, role),
        connection_class=AsyncConnection[DictRow],
        kwargs={"row_factory": dict_row, "application_name": f"devstack {role}"},
        min_size=1,
        max_size=size,
        timeout=10,
        open=False,
        check=_check,
    )


async def _check(connection: AsyncConnection[DictRow]) -> None:
    """Detects a restart of Postgres. The server sends a message before it closes a connection, so an idle connection
    with readable data is checked; other connections need no round trip.
    """
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN)
    if readable.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _no_function(_: Request) -> Response:
    return JSONResponse({"code": "NOT_FOUND", "message": "Requested function was not found"}, 404)


async def _no_route(_: Request, __: Exception) -> Response:
    return JSONResponse({"message": "no Route matched with those values"}, 404)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m devstack.gateway")
    parser.add_argument("--state", type=Path, required=True)
    for name in ("port", "postgres-port", "postgrest-port", "functions-port"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--function", help="the Edge Function that is served on --functions-port")
    parser.add_argument("--upload-url-seconds", type=int, default=DEFAULT_UPLOAD_SECONDS)
    parser.add_argument("--size-limit", type=int, default=DEFAULT_SIZE_LIMIT, help="bytes")
    settings = Settings(**vars(parser.parse_args()))
    uvicorn.run(
        create_app(settings),
        host=HOST,
        port=settings.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=5,
    )


if __name__ == "__main__":
    main()
