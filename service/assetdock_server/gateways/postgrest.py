"""One call of a database function through PostgREST, as the caller, and what its errors mean."""

import json
from typing import Any

import orjson
import structlog
from postgrest import APIError, AsyncPostgrestClient

from assetdock_server.errors import CATALOGUE, ApiError, Field, Unauthenticated
from assetdock_server.gateways.pool import Pool, attempt, unavailable

SCHEMA = "assetdock"
# PostgREST refuses the token itself: expired, or signed by a key it does not know.
BAD_TOKEN = ("PGRST300", "PGRST301", "PGRST302", "PGRST303")
CONNECTION_LOST = ("08", "57P", "53")
SERIALIZATION = ("40001", "40P01", "55P03")
STATEMENT_TIMEOUT = "57014"

log = structlog.get_logger()


class Postgrest:
    """Calls functions of schema `assetdock`."""

    def __init__(self, pool: Pool, *, url: str, publishable_key: str) -> None:
        self._pool = pool
        self._url = url
        self._rpc_url = f"{url.rstrip('/')}/rpc/"
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
        """What the function returns.

        `inputs` names the part of our request the arguments came from (`body`, `query`), for the fields of a
        validation_error. Raises ApiError: what the function refused with, or what kept it from being asked.
        """
        client = AsyncPostgrestClient(
            self._url,
            schema=SCHEMA,
            headers={"apikey": self._publishable_key, "Authorization": f"Bearer {token}"},
            http_client=self._pool.supabase,
            retry_enabled=False,
        )
        try:
            answer = await attempt(
                client.rpc(function, arguments).execute, server="database", operation=function, idempotent=idempotent
            )
        except APIError as error:
            raise translated(error, function, inputs) from error
        return answer.data

    async def call_directly(
        self,
        function: str,
        arguments: dict[str, Any],
        *,
        token: str,
        idempotent: bool = False,
        inputs: str = "body",
    ) -> Any:
        """As `call`, in every answer and error, for a fifth of its cost: for what nearly every request calls."""
        document = orjson.dumps(arguments)
        headers = {
            "apikey": self._publishable_key,
            "Authorization": f"Bearer {token}",
            "Content-Profile": SCHEMA,
        }
        status, answer = await attempt(
            lambda: self._pool.post(self._rpc_url + function, document, headers),
            server="database",
            operation=function,
            idempotent=idempotent,
        )
        if 200 <= status < 300:
            return answer
        refusal = answer if isinstance(answer, dict) else {"message": "no JSON", "code": str(status)}
        raise translated(APIError(refusal), function, inputs)


def translated(error: APIError, function: str, inputs: str) -> ApiError:
    """The ApiError that a database error amounts to. Nothing of an unforeseen error reaches the caller."""
    code = error.code or ""
    if code in CATALOGUE:
        return _refusal(error, code, inputs)
    if code in BAD_TOKEN:
        return Unauthenticated("The credential is not, or no longer, valid")
    if code == STATEMENT_TIMEOUT:
        return ApiError("upstream_timeout")
    # No code at all is how PostgREST says that Postgres went away in the middle of a statement.
    if error.code == "" or code.startswith(CONNECTION_LOST) or code in SERIALIZATION:
        return unavailable()
    log.error("database_error", function=function, code=code, message=error.message)
    return ApiError("internal_error" if len(code) == 5 else "upstream_error")


def _refusal(error: APIError, code: str, inputs: str) -> ApiError:
    """What `assetdock_private.fail` raised: its details are a JSON object with `fields` and `retry_after`."""
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
        fields=[Field(_place(each["field"], inputs), each["message"]) for each in details.get("fields", [])],
        headers=headers,
    )


def _place(argument: str, inputs: str) -> str:
    """Where in our request an argument of the function came from."""
    return "header.idempotency-key" if argument == "idempotency_key" else f"{inputs}.{argument}"
