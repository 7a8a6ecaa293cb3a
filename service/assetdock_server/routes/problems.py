"""Error responses: `{"error": {code, message, fields?}, "request_id"}`."""

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.errors import ApiError

STARLETTE_CODES = {404: "not_found", 405: "method_not_allowed"}


def problem(error: ApiError, request_id: str) -> Response:
    """The response for an error."""
    body: dict[str, object] = {"code": error.code, "message": error.text}
    if error.fields:
        body["fields"] = [{"field": each.field, "message": each.message} for each in error.fields]
    return Response(
        orjson.dumps({"error": body, "request_id": request_id}),
        error.status,
        {**error.headers, "Cache-Control": "no-store"},
        "application/json",
    )


def api_error_response(request: Request, error: Exception) -> Response:
    """The exception handler of ApiError."""
    assert isinstance(error, ApiError)  # noqa: S101 - narrows the type; Starlette guarantees it
    return problem(error, request.state.request_id)


def http_exception_response(request: Request, error: Exception) -> Response:
    """The exception handler of HTTPException, which Starlette raises for an unknown path or method."""
    assert isinstance(error, HTTPException)  # noqa: S101
    if error.status_code == 405 and request.method == "OPTIONS":  # not a preflight: it asks for the supported methods
        return Response(status_code=204, headers=error.headers)
    code = STARLETTE_CODES.get(error.status_code, "bad_request" if error.status_code < 500 else "internal_error")
    return problem(ApiError(code, headers=dict(error.headers or {})), request.state.request_id)
