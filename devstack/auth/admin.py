"""The admin API for users; it requires the secret key."""

import hashlib
import uuid
from typing import Any

from psycopg_pool import AsyncConnectionPool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from devstack.auth import passwords, users
from devstack.auth.caller import json_body, require_admin
from devstack.auth.errors import validation_failed
from devstack.auth.users import Connection
from devstack.keys import Keys


class Admin:
    """Every endpoint rejects a caller whose role is not in ADMIN_ROLES."""

    def __init__(self, pool: AsyncConnectionPool[Connection], keys: Keys) -> None:
        self.pool = pool
        self.keys = keys

    async def create(self, request: Request) -> Response:
        require_admin(request, self.keys)
        body = await json_body(request)
        email = users.email_of(body)
        if email is None:
            raise validation_failed("Cannot create a user without either an email or phone")
        encrypted = await passwords.hashed(str(body["password"])) if body.get("password") else None
        async with self.pool.connection() as connection:
            user = await users.create(
                connection,
                email=email,
                encrypted_password=encrypted,
                confirmed=bool(body.get("email_confirm")),
                app_metadata=body.get("app_metadata"),
                user_metadata=body.get("user_metadata"),
                user_id=_uuid(body["id"]) if body.get("id") else None,
                role=body.get("role") or "authenticated",
            )
            if body.get("ban_duration"):
                user = await users.update(connection, user, banned_until=users.banned_until(body["ban_duration"]))
            return JSONResponse(users.to_json(user))

    async def list(self, request: Request) -> Response:
        require_admin(request, self.keys)
        page, size = (_positive(request, name, default) for name, default in (("page", 1), ("per_page", 50)))
        async with self.pool.connection() as connection:
            cursor = await connection.execute(
                "select id, count(*) over () as total from auth.users where deleted_at is null "
                "order by created_at desc, id limit %s offset %s",
                [size, (page - 1) * size],
            )
            rows = await cursor.fetchall()
            listed = [users.to_json(await users.require(connection, row["id"])) for row in rows]
        total = rows[0]["total"] if rows else 0
        return JSONResponse({"users": listed, "aud": "authenticated"}, headers={"x-total-count": str(total)})

    async def get(self, request: Request) -> Response:
        require_admin(request, self.keys)
        async with self.pool.connection() as connection:
            return JSONResponse(users.to_json(await users.require(connection, _user_id(request))))

    async def update(self, request: Request) -> Response:
        require_admin(request, self.keys)
        changes = await self._changes(await json_body(request))
        async with self.pool.connection() as connection:
            user = await users.require(connection, _user_id(request))
            if changes.pop("confirm", False) and user["email_confirmed_at"] is None:
                changes["email_confirmed_at"] = user["created_at"]
            return JSONResponse(users.to_json(await users.update(connection, user, **changes)))

    async def delete(self, request: Request) -> Response:
        require_admin(request, self.keys)
        body = await json_body(request)
        async with self.pool.connection() as connection:
            user = await users.require(connection, _user_id(request))
            if body.get("should_soft_delete"):
                await connection.execute("delete from auth.sessions where user_id = %s", [user["id"]])
                await connection.execute("delete from auth.identities where user_id = %s", [user["id"]])
                await connection.execute(
                    "update auth.users set deleted_at = now(), email = %s, encrypted_password = '' where id = %s",
                    [hashlib.sha256(f"{user['id']}{user['email']}".encode()).hexdigest(), user["id"]],
                )
            else:
                await connection.execute("delete from auth.users where id = %s", [user["id"]])
        return JSONResponse({})

    async def _changes(self, body: dict[str, Any]) -> dict[str, Any]:
        changes: dict[str, Any] = {"confirm": bool(body.get("email_confirm"))}
        if email := users.email_of(body):
            changes["email"] = email
        if body.get("password"):
            changes["encrypted_password"] = await passwords.hashed(str(body["password"]))
        if body.get("ban_duration"):
            changes["banned_until"] = users.banned_until(body["ban_duration"])
        if body.get("role"):
            changes["role"] = str(body["role"])
        for column, name in (("raw_app_meta_data", "app_metadata"), ("raw_user_meta_data", "user_metadata")):
            if body.get(name) is not None:
                changes[column] = body[name]
        return changes


def _user_id(request: Request) -> uuid.UUID:
    return _uuid(request.path_params["id"])


def _uuid(text: object) -> uuid.UUID:
    try:
        return uuid.UUID(str(text))
    except ValueError as error:
        raise validation_failed("user_id must be an UUID") from error


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    if text and (not text.isascii() or not text.isdecimal() or int(text) < 1 or int(text) > 1_000_000):
        raise validation_failed(f"Bad Pagination Parameters: {name} must be a positive number")
    return int(text) if text else default
