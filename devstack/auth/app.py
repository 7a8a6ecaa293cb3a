"""Auth's routes: every path under /auth/v1."""

from collections.abc import Awaitable, Callable
from typing import Any

from psycopg_pool import AsyncConnectionPool
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from devstack.auth import passwords, users
from devstack.auth.admin import Admin
from devstack.auth.caller import claims_of, json_body
from devstack.auth.errors import AuthError, respond, validation_failed
from devstack.auth.sessions import Sessions
from devstack.auth.users import Connection
from devstack.keys import Claims, Keys

Pool = AsyncConnectionPool[Connection]
Endpoint = Callable[[Request], Awaitable[Response]]


class Auth:
    """The endpoints for users. Emails count as confirmed, because the stack sends none."""

    def __init__(self, pool: Pool, keys: Keys, issuer: str) -> None:
        self.pool = pool
        self.keys = keys
        self.sessions = Sessions(keys, issuer)

    async def sign_up(self, request: Request) -> Response:
        body = await json_body(request)
        email, password = users.email_of(body), body.get("password")
        if email is None and password:
            raise validation_failed("Sign up only available with email or phone provider")
        if email and not password:
            raise validation_failed("Signup requires a valid password")
        encrypted = await passwords.hashed(str(password)) if password else None
        async with self.pool.connection() as connection:
            if email and await users.find_by_email(connection, email):
                raise AuthError(422, "user_already_exists", "User already registered")
            user = await users.create(
                connection, email=email, encrypted_password=encrypted, user_metadata=body.get("data")
            )
            return JSONResponse(await self.sessions.open(connection, user))

    async def token(self, request: Request) -> Response:
        body = await json_body(request)
        match request.query_params.get("grant_type"):
            case "password":
                return JSONResponse(await self._by_password(body))
            case "refresh_token":
                return JSONResponse(await self._by_refresh_token(body))
        raise AuthError(400, "invalid_credentials", "unsupported_grant_type")

    async def _by_password(self, body: dict[str, Any]) -> dict[str, Any]:
        email = users.email_of(body)
        if email is None:
            raise validation_failed("missing email or phone")
        async with self.pool.connection() as connection:
            user = await users.find_by_email(connection, email)
        # Holds no connection during bcrypt.
        if user is None or not await passwords.matches(str(body.get("password", "")), user["encrypted_password"]):
            raise AuthError(400, "invalid_credentials", "Invalid login credentials")
        if user["email_confirmed_at"] is None:
            raise AuthError(400, "email_not_confirmed", "Email not confirmed")
        async with self.pool.connection() as connection:
            return await self.sessions.open(connection, user)

    async def _by_refresh_token(self, body: dict[str, Any]) -> dict[str, Any]:
        token = body.get("refresh_token")
        if not token:
            raise validation_failed("refresh_token required")
        async with self.pool.connection() as connection:
            refreshed = await self.sessions.refresh(connection, str(token))
        if isinstance(refreshed, AuthError):
            raise refreshed
        return refreshed

    async def user(self, request: Request) -> Response:
        async with self.pool.connection() as connection:
            user = await self._require_user(connection, claims_of(request, self.keys))
            return JSONResponse(users.to_json(user))

    async def update_user(self, request: Request) -> Response:
        claims, body = claims_of(request, self.keys), await json_body(request)
        changes: dict[str, object] = {}
        if email := users.email_of(body):
            changes |= {"email": email, "is_anonymous": False}
        if body.get("data") is not None:
            changes["raw_user_meta_data"] = body["data"]
        if body.get("password"):
            changes["encrypted_password"] = await passwords.hashed(str(body["password"]))
        async with self.pool.connection() as connection:
            user = await users.update(connection, await self._require_user(connection, claims), **changes)
            return JSONResponse(users.to_json(user))

    async def log_out(self, request: Request) -> Response:
        claims = claims_of(request, self.keys)
        scope = request.query_params.get("scope", "global")
        if scope not in ("global", "local", "others"):
            raise validation_failed(f"Unsupported logout scope {scope!r}")
        async with self.pool.connection() as connection:
            user = await self._require_user(connection, claims)
            await self.sessions.end(connection, str(user["id"]), claims.get("session_id"), scope)
        return Response(status_code=204)

    async def jwks(self, _: Request) -> Response:
        return JSONResponse(self.keys.public_jwks, headers={"cache-control": "public, max-age=600"})

    async def settings(self, _: Request) -> Response:
        return JSONResponse(
            {
                "external": {"anonymous_users": True, "email": True, "phone": False},
                "disable_signup": False,
                "mailer_autoconfirm": True,
                "phone_autoconfirm": False,
                "sms_provider": "",
                "saml_enabled": False,
            }
        )

    async def health(self, _: Request) -> Response:
        return JSONResponse({"version": "devstack", "name": "GoTrue", "description": "Assetdock's stand-in"})

    async def _require_user(self, connection: Connection, claims: Claims) -> users.User:
        session_id = claims.get("session_id")
        if session_id is not None and not await self.sessions.exists(connection, str(session_id)):
            raise AuthError(403, "session_not_found", "Session from session_id claim in JWT does not exist")
        user = await users.find(connection, claims.get("sub"))
        if user is None:
            raise AuthError(403, "user_not_found", "User from sub claim in JWT does not exist")
        return user


def create_app(pool: Pool, keys: Keys, issuer: str) -> Starlette:
    """``issuer`` is `{SUPABASE_URL}/auth/v1`."""
    auth, admin = Auth(pool, keys, issuer), Admin(pool, keys)
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/signup", auth.sign_up),
        ("POST", "/token", auth.token),
        ("GET", "/user", auth.user),
        ("PUT", "/user", auth.update_user),
        ("POST", "/logout", auth.log_out),
        ("GET", "/.well-known/jwks.json", auth.jwks),
        ("GET", "/settings", auth.settings),
        ("GET", "/health", auth.health),
        ("POST", "/admin/users", admin.create),
        ("GET", "/admin/users", admin.list),
        ("GET", "/admin/users/{id}", admin.get),
        ("PUT", "/admin/users/{id}", admin.update),
        ("DELETE", "/admin/users/{id}", admin.delete),
    ]
    return Starlette(
        routes=[Route(path, endpoint, methods=[method]) for method, path, endpoint in table],
        exception_handlers={AuthError: respond},
    )
