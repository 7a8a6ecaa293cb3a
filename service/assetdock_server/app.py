"""Builds the ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from assetdock_server.config import ServiceSettings
from assetdock_server.documents.build import build_documents
from assetdock_server.errors import ApiError
from assetdock_server.gateways.auth import fetch_jwks
from assetdock_server.gateways.database import Database, KeyDirectory
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from assetdock_server.identity.api_key import Resolver
from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.minting import Minter
from assetdock_server.identity.principal import Identification
from assetdock_server.identity.session import SessionVerifier
from assetdock_server.routes.cors import Cors
from assetdock_server.routes.long_polling import LongPolling
from assetdock_server.routes.operations import QueueGauges, Readiness
from assetdock_server.routes.page import Page
from assetdock_server.routes.problems import api_error_response, http_exception_response
from assetdock_server.routes.rate_limit import RateLimit
from assetdock_server.routes.request_context import RequestContext
from assetdock_server.routes.resources import Resources
from assetdock_server.routes.table import TABLE, routes


def create_app(settings: ServiceSettings, is_stopping: Callable[[], bool] = lambda: False) -> Starlette:
    """Returns the ASGI application. It opens its connections at startup and closes them at shutdown.

    `is_stopping` tells whether the server is shutting down. Requests that wait for an asset then get their response.
    """
    connection = settings.connection

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with http_pool() as pool:
            key = connection.publishable_key
            minter = Minter(settings.signing_key)
            postgrest = Postgrest(pool, url=connection.rest_url, publishable_key=key, minter=minter)
            directory = KeyDirectory(postgrest, minter)
            jwks = Jwks(lambda: fetch_jwks(pool, connection.jwks_url))
            sessions = SessionVerifier(issuer=connection.issuer, jwks=jwks, secret=settings.session_secret)
            app.state.resources = Resources(
                database=Database(postgrest),
                storage=Storage(
                    pool,
                    url=connection.storage_url,
                    bytes_url=connection.bytes_url,
                    publishable_key=key,
                    minter=minter,
                ),
                directory=directory,
                identification=Identification(
                    sessions=sessions, keys=Resolver(directory.resolve_api_key), minter=minter
                ),
                jwks=jwks,
                rate_limit=RateLimit(settings.requests_per_minute),
                long_polling=LongPolling(directory.finished_assets, is_stopping),
            )
            app.state.readiness = Readiness()
            app.state.page = Page.read(connection)
            app.state.queue_gauges = QueueGauges()
            yield

    app = Starlette(
        routes=routes(),
        lifespan=lifespan,
        exception_handlers={ApiError: api_error_response, HTTPException: http_exception_response},
        middleware=[
            Middleware(RequestContext),
            Middleware(Cors, settings.cors_origins),
        ],
    )
    app.state.documents = build_documents(TABLE)
    app.router.redirect_slashes = False
    return app
