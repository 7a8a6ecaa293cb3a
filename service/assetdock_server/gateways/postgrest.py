"""Calls database functions through PostgREST with the caller's token, and translates their errors."""

import json
from typing import Any

import orjson
import structlog
from postgrest import APIError, AsyncPostgrestClient

from assetdock_server.errors import CATALOGUE, ApiError, Field, Unauthenticated
from assetdock_server.gateways.pool import Pool, attempt, unavailable

SCHEMA = "assetdock"
# Codes of PostgREST for a token that is expired or signed by an unknown key.
BAD_TOKEN = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
# Prefixes of SQLSTATE: the connection failed, Postgres is stopping, or it lacks resources.
CONNECTION_LOST = ("08", "57P", "53")
# SQLSTATE of conflicts with other transactions: serialization failure, deadlock, and a lock that is not available.
SERIALIZATION = ("40001", "40P01", "55P03")
STATEMENT_TIMEOUT = "57014"

log = structlog.get_logger()


class Postgrest:
    """Calls functions of schema `assetdock`."""

    def __init__(self, pool: Pool, *, url: str, publishable_key: str) -> None:
        self._pool = pool
        self._url = url
        self._server = pool.server(url)
        self._publishable_key = publishable_key

    async def call(
        self,
        function: str,
        arguments: dict[str, Any],
        *,
        token: str,
        idempotent: bool = False,
        inputs: str = "body",
    ) -> Any:
        """The result of the function.

        `inputs` is the part of the caller's HTTP request that the arguments came from (`body`, `query`). A
        validation_error names its fields with it. Raises ApiError for an error of the function or of the call.
        """
        client = AsyncPostgrestClient(
            self._url,
            schema=SCHEMA,
            headers={"apikey": self._publishable_key, "Authorization": f"Bearer {token}"},
            http_client=self._pool.supabase,
            retry_enabled=False,
        )
        try:
            response = await attempt(
                client.rpc(function, arguments).execute, server="database", operation=function, idempotent=idempotent
            )
        except APIError as error:
            raise translated(error, function, inputs) from error
        return response.data

    async def call_directly(
        self,
        function: str,
        arguments: dict[str, Any],
        *,
        token: str,
        idempotent: bool = False,
        inputs: str = "body",
    ) -> Any:
        """Does the same as `call`, but without the official client. For the most frequent calls."""
        document = orjson.dumps(arguments)
        headers = {
            "apikey": self._publishable_key,
            "Authorization": f"Bearer {token}",
            "Content-Profile": SCHEMA,
        }
        status, result = await attempt(
            lambda: self._server.post(f"rpc/{function}", document, headers),
            server="database",
            operation=function,
            idempotent=idempotent,
        )
        if 200 <= status < 300:
            return result
        failure = result if isinstance(result, dict) else {"message": "no JSON", "code": str(status)}
        raise translated(APIError(failure), function, inputs)


def translated(error: APIError, function: str, inputs: str) -> ApiError:
    """The ApiError for a database error. The text of an unexpected error does not reach the caller."""
    code = error.code or ""
    if code in CATALOGUE:
        return _application_error(error, code, inputs)
    if code in BAD_TOKEN:
        return Unauthenticated("The credential is invalid or expired")
    if code == STATEMENT_TIMEOUT:
        return ApiError("upstream_timeout")
    # PostgREST sends an empty code when it loses the connection to Postgres during a statement.
    if error.code == "" or code.startswith(CONNECTION_LOST) or code in SERIALIZATION:
        return unavailable()
    log.error("database_error", function=function, code=code, message=error.message)
    # A SQLSTATE has five characters; other codes are of PostgREST, or the HTTP status of a response without JSON.
    return ApiError("internal_error" if len(code) == 5 else "upstream_error")


def _application_error(error: APIError, code: str, inputs: str) -> ApiError:
    """The error that `assetdock_private.fail` raised. Its details are a JSON object with `fields` and `retry_after`."""
    details = json.loads(error.details) if error.details else {}
    if code == "unauthenticated":
        return Unauthenticated(str(error.message).rstrip("."))
    headers = {}
    if "retry_after" in details:
        headers["Retry-After"] = str(details["retry_after"])
    if code == "insufficient_scope":
        headers["WWW-Authenticate"] = 'Bearer error="insufficient_scope"'
    return ApiError(
        code,
        error.message,
        fields=[Field(_input_name(each["field"], inputs), each["message"]) for each in details.get("fields", [])],
        headers=headers,
    )


def _input_name(argument: str, inputs: str) -> str:
    """The name of the header or field of the HTTP request that an argument of the function came from."""
    return "header.idempotency-key" if argument == "idempotency_key" else f"{inputs}.{argument}"
