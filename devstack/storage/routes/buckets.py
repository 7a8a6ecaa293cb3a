"""Buckets. Policies on storage.buckets decide who has access; without policies only the secret key has."""

import re
from typing import Any

from psycopg import errors
from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import rows
from devstack.storage.backend import Backend
from devstack.storage.errors import (
    bucket_already_exists,
    bucket_not_empty,
    invalid_request,
    invalid_role,
    no_such_bucket,
)
from devstack.storage.json_bodies import json_body, json_response, required_property
from devstack.storage.names import require_bucket_name

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)?", re.IGNORECASE)
_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}
_SELECT = b"""
select id, name, owner, public, type::text, file_size_limit, allowed_mime_types, created_at, updated_at
from storage.buckets
"""


class BucketRoutes:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def list(self, request: Request) -> Response:
        async with self.backend.transaction(request, self.backend.caller(request), "bucket.list") as connection:
            cursor = await connection.execute(_SELECT + b" order by name")
            return json_response(await cursor.fetchall())

    async def get(self, request: Request) -> Response:
        async with self.backend.transaction(request, self.backend.caller(request), "bucket.get") as connection:
            cursor = await connection.execute(_SELECT + b" where id = %s", [request.path_params["bucket"]])
            bucket = await cursor.fetchone()
        if bucket is None:
            raise no_such_bucket()
        return json_response(bucket)

    async def create(self, request: Request) -> Response:
        caller, body = self.backend.caller(request), await json_body(request)
        name = require_bucket_name(required_property(body, "name", str))
        async with self.backend.transaction(request, caller, "bucket.create") as connection:
            try:
                await connection.execute(
                    """insert into storage.buckets
                         (id, name, owner, owner_id, public, file_size_limit, allowed_mime_types)
                       values (%s, %s, case when %s ~ '^[0-9a-f-]{36}$' then %s::uuid end, %s, %s, %s, %s)""",
                    [
                        require_bucket_name(str(body.get("id") or name)),
                        name,
                        caller.sub or "",
                        caller.sub,
                        caller.sub,
                        bool(body.get("public")),
                        _size(body.get("file_size_limit")),
                        body.get("allowed_mime_types"),
                    ],
                )
            except errors.UniqueViolation as error:
                raise bucket_already_exists() from error
        return json_response({"name": name})

    async def update(self, request: Request) -> Response:
        caller, body = self.backend.caller(request), await json_body(request)
        changes: dict[str, Any] = {
            name: body[name] for name in ("public", "file_size_limit", "allowed_mime_types") if name in body
        }
        if "file_size_limit" in changes:
            changes["file_size_limit"] = _size(changes["file_size_limit"])
        assignments = ", ".join(f"{name} = %({name})s" for name in changes) or "id = id"
        async with self.backend.transaction(request, caller, "bucket.update") as connection:
            cursor = await connection.execute(
                f"update storage.buckets set {assignments}, updated_at = now() where id = %(id)s".encode(),  # noqa: S608
                {**changes, "id": request.path_params["bucket"]},
            )
        if cursor.rowcount == 0:
            raise no_such_bucket()
        return json_response({"message": "Successfully updated"})

    async def delete(self, request: Request) -> Response:
        bucket_id = request.path_params["bucket"]
        async with self.backend.transaction(request, self.backend.caller(request), "bucket.delete") as connection:
            await self._require_empty(request, bucket_id)
            try:
                cursor = await connection.execute("delete from storage.buckets where id = %s", [bucket_id])
            except errors.ForeignKeyViolation as error:
                raise bucket_not_empty() from error
            if cursor.rowcount == 0:
                raise no_such_bucket()
        return json_response({"message": "Successfully deleted"})

    async def _require_empty(self, request: Request, bucket_id: str) -> None:
        """Storage looks with its own role: a caller who sees no object learns that the bucket is not empty."""
        async with self.backend.transaction(request, self.backend.service(), "bucket.delete") as connection:
            await rows.find_bucket(connection, bucket_id)
            cursor = await connection.execute("select from storage.objects where bucket_id = %s limit 1", [bucket_id])
            if await cursor.fetchone() is not None:
                raise bucket_not_empty()

    async def empty(self, request: Request) -> Response:
        bucket_id = request.path_params["bucket"]
        caller = self.backend.caller(request)
        if caller.role != "service_role":
            raise invalid_role()
        async with self.backend.transaction(request, caller, "bucket.empty") as connection:
            await rows.find_bucket(connection, bucket_id)
            cursor = await connection.execute(
                "delete from storage.objects where bucket_id = %s returning name, version", [bucket_id]
            )
            deleted = await cursor.fetchall()
        for row in deleted:
            self.backend.files.remove(bucket_id, row["name"], row["version"])
        return json_response({"message": "Successfully emptied"})


def _size(limit: object) -> int | None:
    """A number of bytes, from a number or text such as `20MB`."""
    if limit is None:
        return None
    match = _SIZE.fullmatch(str(limit).strip())
    if match is None:
        raise invalid_request("Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B")
    return int(float(match[1]) * _UNITS[(match[2] or "B").upper()])
