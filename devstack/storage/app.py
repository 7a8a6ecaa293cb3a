"""Storage's routes: every path under /storage/v1."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from devstack.keys import Keys
from devstack.storage.backend import Backend
from devstack.storage.database import Connection, Database
from devstack.storage.errors import StorageError, respond
from devstack.storage.files import Files
from devstack.storage.json_bodies import json_response
from devstack.storage.routes.buckets import BucketRoutes
from devstack.storage.routes.downloads import DownloadRoutes
from devstack.storage.routes.objects import ObjectRoutes
from devstack.storage.routes.uploads import UploadRoutes
from devstack.storage.tokens import DEFAULT_UPLOAD_SECONDS, SignedUrls
from devstack.storage.tus import protocol
from devstack.storage.tus.authorization import authorize_by_policies, authorize_by_token
from devstack.storage.tus.endpoint import TusEndpoint
from devstack.storage.tus.locks import UploadLocks
from devstack.storage.tus.upload_store import UploadStore
from devstack.storage.uploads import DEFAULT_SIZE_LIMIT, Uploads

Endpoint = Callable[[Request], Awaitable[Response]]
CLEANUP_SECONDS = 600


def create_app(
    pool: AsyncConnectionPool[Connection],
    keys: Keys,
    directory: Path,
    *,
    upload_url_seconds: int = DEFAULT_UPLOAD_SECONDS,
    size_limit: int = DEFAULT_SIZE_LIMIT,
) -> Starlette:
    """``pool`` connects as `supabase_storage_admin`. ``size_limit`` is in bytes. The lifespan deletes expired resumable
    uploads regularly.
    """
    files = Files(directory)
    files.open()
    database = Database(pool)
    signed_urls = SignedUrls(keys.url_signing_secret, upload_url_seconds)
    backend = Backend(database, files, keys, signed_urls, Uploads(database, files, keys, size_limit))
    buckets, uploads, downloads, objects = (
        BucketRoutes(backend),
        UploadRoutes(backend),
        DownloadRoutes(backend),
        ObjectRoutes(backend),
    )
    store, locks = UploadStore(directory / ".resumable"), UploadLocks()
    store.open()
    tus = TusEndpoint(backend, store, locks, authorize_by_policies)
    signed_tus = TusEndpoint(backend, store, locks, authorize_by_token)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async def delete_expired_uploads() -> None:
            while True:
                await asyncio.sleep(CLEANUP_SECONDS)
                store.delete_expired()

        cleanup = asyncio.create_task(delete_expired_uploads())
        yield
        cleanup.cancel()

    # The first match wins.
    table: list[tuple[str, str, Endpoint]] = [
        ("GET", "/status", _status),
        ("GET", "/version", _version),
        *(
            (method, f"/upload/resumable{path}", endpoint.handle)
            for method in protocol.METHODS
            for path, endpoint in (("/sign", signed_tus), ("/sign/{upload}", signed_tus), ("", tus), ("/{upload}", tus))
        ),
        ("GET", "/bucket", buckets.list),
        ("POST", "/bucket", buckets.create),
        ("GET", "/bucket/{bucket}", buckets.get),
        ("PUT", "/bucket/{bucket}", buckets.update),
        ("DELETE", "/bucket/{bucket}", buckets.delete),
        ("POST", "/bucket/{bucket}/empty", buckets.empty),
        ("POST", "/object/upload/sign/{bucket}/{name:path}", uploads.sign),
        ("PUT", "/object/upload/sign/{bucket}/{name:path}", uploads.signed),
        ("POST", "/object/sign/{bucket}/{name:path}", downloads.sign),
        ("POST", "/object/sign/{bucket}", downloads.sign_many),
        ("GET", "/object/sign/{bucket}/{name:path}", downloads.signed),
        ("GET", "/object/authenticated/{bucket}/{name:path}", downloads.authenticated),
        ("GET", "/object/public/{bucket}/{name:path}", downloads.public),
        ("GET", "/object/info/authenticated/{bucket}/{name:path}", downloads.info),
        ("GET", "/object/info/{bucket}/{name:path}", downloads.info),
        ("POST", "/object/list/{bucket}", downloads.list),
        ("POST", "/object/list-v2/{bucket}", downloads.list_v2),
        ("POST", "/object/move", objects.move),
        ("POST", "/object/copy", objects.copy),
        ("DELETE", "/object/{bucket}", objects.delete_many),
        ("DELETE", "/object/{bucket}/{name:path}", objects.delete),
        ("POST", "/object/{bucket}/{name:path}", uploads.create),
        ("PUT", "/object/{bucket}/{name:path}", uploads.replace),
        ("GET", "/object/{bucket}/{name:path}", downloads.authenticated),
    ]
    return Starlette(
        routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in table],
        exception_handlers={
            StorageError: respond,
            ClientDisconnect: _client_disconnected,
            404: _no_route,
            405: _no_route,
        },
        lifespan=lifespan,
    )


async def _version(_: Request) -> Response:
    """The version of storage-api that the contract tests compare this stand-in with."""
    return PlainTextResponse("1.58.20")


async def _status(_: Request) -> Response:
    return json_response({"status": "ok"})


async def _client_disconnected(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nginx's status for a closed connection


async def _no_route(request: Request, _: Exception) -> Response:
    message = f"Route {request.method}:{request.url.path} not found"
    return json_response({"message": message, "error": "Not Found", "statusCode": "404"}, 404)
