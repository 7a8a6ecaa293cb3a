"""Bodies in and out."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from devstack.storage.errors import StorageError, invalid_request


def json_answer(content: object, status: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)
    return Response(body, status, media_type="application/json")


async def body_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent; nothing at all counts as `{}`. Raises StorageError."""
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise invalid_request("Body is not valid JSON") from error
    if not isinstance(body, dict):
        raise invalid_request("body must be object")
    return body


def required(body: dict[str, Any], name: str, kind: type) -> Any:
    """A property of the body. Raises StorageError when it is missing or of another kind."""
    if name not in body:
        raise invalid_request(f"body must have required property '{name}'")
    if not isinstance(body[name], kind) or isinstance(body[name], bool):
        raise invalid_request(f"body/{name} must be {kind.__name__}")
    return body[name]


async def drain(request: Request) -> None:
    """Reads what is left of the request, so that a client still sending it gets to see the answer."""
    try:
        async for _ in request.stream():
            pass
    except RuntimeError:  # read to its end before
        pass


async def drained(request: Request, error: StorageError) -> StorageError:
    """The error, to be raised once the request has been read."""
    await drain(request)
    return error
