"""Calls database functions through PostgREST with the caller's token, and translates their errors."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
import structlog
from postgrest import AsyncPostgrestClient
from pydantic import BaseModel, ConfigDict, TypeAdapter

from assetdock_server.errors import CATALOGUE, ApiError, Field, Unauthenticated
from assetdock_server.gateways.pool import Pool, attempt, received
from assetdock_server.gateways.refused_tokens import RefusedTokenError, call_with
from assetdock_server.gateways.upstream_responses import (
    read_failure,
    read_result,
    temporary_failure,
    unavailable,
)
from assetdock_server.identity.minting import Minter

T = TypeVar("T")

SCHEMA = "assetdock"
# Codes of PostgREST 12 to 16 for a token that it does not accept: a wrong signature or key, no role, wrong claims.
# (PGRST300 says that PostgREST itself has no key.)
REFUSED_TOKEN = ("PGRST301", "PGRST302", "PGRST303")
# Classes of SQLSTATE: the connection failed, Postgres is stopping, or it lacks resources.
CONNECTION_LOST = ("08", "57P", "53")
# SQLSTATE of conflicts with other transactions: serialization failure, deadlock, and a lock that is not available.
SERIALIZATION = ("40001", "40P01", "55P03")
STATEMENT_TIMEOUT = "57014"

log = structlog.get_logger()


class DatabaseError(BaseModel):
    """The body of an error of PostgREST. A function's own error has JSON in `details`."""

    model_config = ConfigDict(strict=True)

    code: str
    message: str = ""
    details: Any = None


class InvalidField(BaseModel):
    """An argument that a function rejects."""

    field: str
    message: str


class Details(BaseModel):
    """`details` of the errors that `assetdock_private.fail` raises."""

    model_config = ConfigDict(strict=True)

    fields: list[InvalidField] = []
    retry_after: int | None = None


DATABASE_ERROR = TypeAdapter(DatabaseError)
DETAILS = TypeAdapter(Details)


class Postgrest:
    """Calls functions of schema `assetdock`.

    `minter` mints the tokens for API keys. Without it, every token is the worker's.
    """

    def __init__(self, pool: Pool, *, url: str, publishable_key: str, minter: Minter | None = None) -> None:
        self._pool = pool
        self._url = url
        self._server = pool.server(url)
        self._publishable_key = publishable_key
        self._minter = minter

    async def call(
        self,
        function: str,
        arguments: dict[str, Any],
        result: TypeAdapter[T],
        *,
        token: str,
        idempotent: bool = False,
        inputs: str = "body",
    ) -> T:
        """The result of the function, which is of the type `result`.

        `inputs` is the part of the caller's HTTP request that the arguments came from (`body`, `query`). A
        validation_error names its fields with it. Raises ApiError for an error of the function or of the call, and
        RefusedTokenError for a token of our own.
        """

        def send(token: str) -> Awaitable[tuple[int, bytes]]:
            client = AsyncPostgrestClient(
                self._url,
                schema=SCHEMA,
                headers={"apikey": self._publishable_key, "Authorization": f"Bearer {token}"},
                http_client=self._pool.supabase,
                retry_enabled=False,
            )
            return received(client.rpc(function, arguments).execute)

        return await self._judged(send, function, result, token=token, idempotent=idempotent, inputs=inputs)

    async def call_directly(
        self,
        function: str,
        arguments: dict[str, Any],
        result: TypeAdapter[T],
        *,
        token: str,
        idempotent: bool = False,
        inputs: str = "body",
    ) -> T:
        """Does the same as `call`, but without the official client. For the most frequent calls."""
        document = orjson.dumps(arguments)

        def send(token: str) -> Awaitable[tuple[int, bytes]]:
            headers = {
                "apikey": self._publishable_key,
                "Authorization": f"Bearer {token}",
                "Content-Profile": SCHEMA,
            }
            return self._server.post(f"rpc/{function}", document, headers)

        return await self._judged(send, function, result, token=token, idempotent=idempotent, inputs=inputs)

    def _judged(
        self,
        send: Callable[[str], Awaitable[tuple[int, bytes]]],
        function: str,
        result: TypeAdapter[T],
        *,
        token: str,
        idempotent: bool,
        inputs: str,
    ) -> Awaitable[T]:
        def once(token: str) -> Awaitable[T]:
            async def judged() -> T:
                status, body = await send(token)
                if 200 <= status < 300:
                    return read_result(result, status, body, function)
                raise translated(status, body, function, inputs)

            return attempt(judged, server="database", operation=function, idempotent=idempotent)

        return call_with(token, once, self._minter)


def translated(status: int, body: bytes, function: str, inputs: str) -> ApiError:
    """The ApiError for a response that is not successful. The text of an unexpected error does not reach the caller."""
    error = read_failure(DATABASE_ERROR, body)
    if error is not None and error.code in CATALOGUE and CATALOGUE[error.code].status == status:
        return _application_error(error, inputs)
    if temporary := temporary_failure(status):
        return temporary
    if error is None:
        log.error("invalid_upstream_response", operation=function, status=status)
        return ApiError("upstream_error")
    code = error.code
    if code in REFUSED_TOKEN:
        return RefusedTokenError(error.message)
    if code == STATEMENT_TIMEOUT:
        return ApiError("upstream_timeout")
    is_sqlstate = len(code) == 5
    # PostgREST sends an empty code when it loses the connection to Postgres during a statement.
    if not code or (is_sqlstate and (code.startswith(CONNECTION_LOST) or code in SERIALIZATION)):
        return unavailable()
    log.error("database_error", function=function, status=status, code=code, message=error.message)
    return ApiError("internal_error" if is_sqlstate else "upstream_error")


def _application_error(error: DatabaseError, inputs: str) -> ApiError:
    """The error that `assetdock_private.fail` raised."""
    if error.code == "unauthenticated":
        return Unauthenticated(error.message.rstrip("."))
    # PostgREST 16 can be configured to send no details.
    details = read_failure(DETAILS, error.details.encode()) if isinstance(error.details, str) else None
    details = details or Details()
    headers = {}
    if details.retry_after is not None:
        headers["Retry-After"] = str(details.retry_after)
    if error.code == "insufficient_scope":
        headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    return ApiError(
        error.code,
        error.message,
        fields=[Field(_input_name(each.field, inputs), each.message) for each in details.fields],
        headers=headers,
    )


def _input_name(argument: str, inputs: str) -> str:
    """The name of the header or field of the HTTP request that an argument of the function came from."""
    return "header.idempotency-key" if argument == "idempotency_key" else f"{inputs}.{argument}"
