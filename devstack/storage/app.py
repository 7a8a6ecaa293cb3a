"""Storage's URL table: everything under /storage/v1."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from devstack.keys import Keys
from devstack.storage.answers import json_answer
from devstack.storage.database import Connection, Database
from devstack.storage.desk import Desk
from devstack.storage.errors import StorageError, respond
from devstack.storage.files import Files
from devstack.storage.routes.buckets import Buckets
from devstack.storage.routes.changing import Changing
from devstack.storage.routes.reading import Reading
from devstack.storage.routes.uploading import Uploading
from devstack.storage.tokens import DEFAULT_UPLOAD_SECONDS, SignedUrls
from devstack.storage.tus import protocol
from devstack.storage.tus.admission import by_policies, by_token
from devstack.storage.tus.partials import Partials
from devstack.storage.tus.resumable import Resumable
from devstack.storage.tus.turns import Turns
from devstack.storage.uploads import DEFAULT_SIZE_LIMIT, Uploads

Endpoint = Callable[[Request], Awaitable[Response]]
SWEEP_SECONDS = 600


def create_app(
    pool: AsyncConnectionPool[Connection],
    keys: Keys,
    directory: Path,
    *,
    upload_url_seconds: int = DEFAULT_UPLOAD_SECONDS,
    size_limit: int = DEFAULT_SIZE_LIMIT,
) -> Starlette:
    """``pool`` connects as `supabase_storage_admin`. ``size_limit`` is in bytes. Its lifespan sweeps away
    resumable uploads that nobody came back to.
    """
    files = Files(directory)
    files.open()
    database = Database(pool)
    signed_urls = SignedUrls(keys.url_signing_secret, upload_url_seconds)
    desk = Desk(database, files, keys, signed_urls, Uploads(database, files, keys, size_limit))
    buckets, uploading, reading, changing = Buckets(desk), Uploading(desk), Reading(desk), Changing(desk)
    partials, turns = Partials(directory / ".resumable"), Turns()
    partials.open()
    by_user, signed = (Resumable(desk, partials, turns, admit) for admit in (by_policies, by_token))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                partials.sweep()

        sweeping = asyncio.create_task(sweep())
        yield
        sweeping.cancel()

    # In order: what stands below the first match is never asked.
    table: list[tuple[str, str, Endpoint]] = [
        ("GET", "/status", _status),
        *(
            (method, f"/upload/resumable{path}", door.answer)
            for method in protocol.METHODS
            for path, door in (("/sign", signed), ("/sign/{upload}", signed), ("", by_user), ("/{upload}", by_user))
        ),
        ("GET", "/bucket", buckets.list),
        ("POST", "/bucket", buckets.create),
        ("GET", "/bucket/{bucket}", buckets.get),
        ("PUT", "/bucket/{bucket}", buckets.update),
        ("DELETE", "/bucket/{bucket}", buckets.delete),
        ("POST", "/bucket/{bucket}/empty", buckets.empty),
        ("POST", "/object/upload/sign/{bucket}/{name:path}", uploading.sign),
        ("PUT", "/object/upload/sign/{bucket}/{name:path}", uploading.signed),
        ("POST", "/object/sign/{bucket}/{name:path}", reading.sign),
        ("POST", "/object/sign/{bucket}", reading.sign_many),
        ("GET", "/object/sign/{bucket}/{name:path}", reading.signed),
        ("GET", "/object/authenticated/{bucket}/{name:path}", reading.authenticated),
        ("GET", "/object/public/{bucket}/{name:path}", reading.public),
        ("GET", "/object/info/authenticated/{bucket}/{name:path}", reading.info),
        ("GET", "/object/info/{bucket}/{name:path}", reading.info),
        ("POST", "/object/list/{bucket}", reading.list),
        ("POST", "/object/move", changing.move),
        ("POST", "/object/copy", changing.copy),
        ("DELETE", "/object/{bucket}", changing.delete_many),
        ("DELETE", "/object/{bucket}/{name:path}", changing.delete),
        ("POST", "/object/{bucket}/{name:path}", uploading.create),
        ("PUT", "/object/{bucket}/{name:path}", uploading.replace),
        ("GET", "/object/{bucket}/{name:path}", reading.authenticated),
    ]
    return Starlette(
        routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in table],
        exception_handlers={
            StorageError: respond,
            ClientDisconnect: _gone,
            404: _no_route,
            405: _no_route,
        },
        lifespan=lifespan,
    )


async def _status(_: Request) -> Response:
    return json_answer({"status": "ok"})


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nobody is there to read it


async def _no_route(request: Request, _: Exception) -> Response:
    message = f"Route {request.method}:{request.url.path} not found"
    return json_answer({"message": message, "error": "Not Found", "statusCode": "404"}, 404)
