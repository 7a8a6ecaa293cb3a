"""The caller's claims and the JSON body of a request."""

from typing import Any

import jwt
import orjson
from starlette.requests import Request

from devstack.auth.errors import AuthError, bad_json, bad_jwt
from devstack.keys import Claims, Keys

ADMIN_ROLES = ("service_role", "supabase_admin")


def claims_of(request: Request, keys: Keys) -> Claims:
    """The claims of the bearer token. Raises AuthError for a missing or invalid token."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        return keys.verify(token.strip())
    except jwt.InvalidTokenError as error:
        raise bad_jwt(str(error)) from error


def require_admin(request: Request, keys: Keys) -> None:
    if claims_of(request, keys).get("role") not in ADMIN_ROLES:
        raise AuthError(403, "not_admin", "User not allowed")


async def json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; an empty body counts as `{}`. Raises AuthError."""
    raw = await request.body()
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError as error:
        raise bad_json(str(error)) from error
    if not isinstance(body, dict):
        raise bad_json("expected an object")
    return body
