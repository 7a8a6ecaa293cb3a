"""JSON bodies of requests and responses."""

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from devstack.storage.errors import StorageError, invalid_request


def json_response(content: object, status: int = 200) -> Response:
    body = orjson.dumps(content, option=orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC)
    return Response(body, status, media_type="application/json")


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; an empty body counts as `{}`. Raises StorageError."""
    try:
        body = orjson.loads(await request.body() or b"{}")
    except orjson.JSONDecodeError as error:
        raise invalid_request("Body is not valid JSON") from error
    if not isinstance(body, dict):
        raise invalid_request("body must be object")
    return body


def required_property(body: dict[str, Any], name: str, expected: type) -> Any:
    """A property of the body. Raises StorageError when it is missing or of another type."""
    if name not in body:
        raise invalid_request(f"body must have required property '{name}'")
    if not isinstance(body[name], expected) or isinstance(body[name], bool):
        raise invalid_request(f"body/{name} must be {expected.__name__}")
    return body[name]


async def drain(request: Request) -> None:
    """Reads the rest of the request, because a client that is still sending would not see the response."""
    try:
        async for _ in request.stream():
            pass
    except RuntimeError:  # already read to the end
        pass


async def drained(request: Request, error: StorageError) -> StorageError:
    """Drains the request and returns the error, for the caller to raise."""
    await drain(request)
    return error
