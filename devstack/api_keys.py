"""The gateway's check of `apikey`, and its replacement by a JWT."""

import secrets

import jwt
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from devstack.keys import Keys

# Paths that a browser, an <img>, ffprobe or a token verifier opens without a key.
PUBLIC_PREFIXES = (
    "/auth/v1/.well-known/",
    "/auth/v1/health",
    "/storage/v1/",
    "/functions/v1/",
    "/health",
)


class ApiKeys:
    """Rejects a missing or unknown `apikey` under /rest/v1 and /auth/v1.

    Publishable and secret keys are not JWTs. Without Authorization, or with one that repeats the key, the request is
    forwarded with the internal token of `anon` or `service_role`. A user's own token is not replaced.
    """

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app = app
        self.keys = keys
        self.role_tokens = {
            keys.publishable_key: keys.role_token("anon"),
            keys.secret_key: keys.role_token("service_role"),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        apikey = headers.get("apikey") or QueryParams(scope["query_string"]).get("apikey")
        authorization = headers.get("authorization", "")
        bearer = authorization[7:].strip() if authorization[:7].lower() == "bearer " else ""
        if not scope["path"].startswith(PUBLIC_PREFIXES) and (rejection := self._rejection(apikey)):
            await rejection(scope, receive, send)
            return
        internal = self.role_tokens.get(apikey or bearer)
        if internal and (not authorization or bearer in (apikey, "") or apikey is None):
            scope = {**scope, "headers": list(scope["headers"])}
            MutableHeaders(scope=scope)["authorization"] = f"Bearer {internal}"
        await self.app(scope, receive, send)

    def _rejection(self, apikey: str | None) -> Response | None:
        if not apikey:
            return JSONResponse(
                {
                    "message": "No API key found in request",
                    "hint": "No `apikey` request header or url param was found.",
                },
                401,
            )
        if any(secrets.compare_digest(apikey.encode(), known.encode()) for known in self.role_tokens):
            return None
        try:  # a legacy project's anon or service_role key is a JWT
            if self.keys.verify(apikey).get("role") in ("anon", "service_role"):
                return None
        except jwt.InvalidTokenError:
            pass
        return JSONResponse(
            {
                "message": "Invalid API key",
                "hint": "Double check your Supabase `anon` or `service_role` API key.",
            },
            401,
        )
