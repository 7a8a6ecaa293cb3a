"""GoTrue's error responses."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

API_VERSION_HEADER = "x-supabase-api-version"
API_VERSION = "2024-01-01"


@dataclass
class AuthError(Exception):
    """``code`` is one of GoTrue's error codes, on which clients branch."""

    status: int
    code: str
    message: str
    extra: dict[str, object] | None = None


def bad_json(reason: str) -> AuthError:
    return AuthError(400, "bad_json", f"Could not parse request body as JSON: {reason}")


def validation_failed(message: str) -> AuthError:
    return AuthError(400, "validation_failed", message)


def bad_jwt(reason: str) -> AuthError:
    return AuthError(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {reason}")


def respond(request: Request, error: Exception) -> Response:
    """The body has one of two forms, by the API version in the request (supabase-js sends one)."""
    if not isinstance(error, AuthError):
        raise error
    body: dict[str, object]
    headers = {}
    if request.headers.get(API_VERSION_HEADER, "") >= API_VERSION:
        body = {"code": error.code, "message": error.message}
        headers[API_VERSION_HEADER] = API_VERSION
    else:
        body = {"code": error.status, "error_code": error.code, "msg": error.message}
    return JSONResponse({**body, **(error.extra or {})}, error.status, headers)
