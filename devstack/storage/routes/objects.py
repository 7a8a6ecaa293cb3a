"""Existing objects: delete, move, copy."""

import uuid
from typing import Any

from psycopg import errors
from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import rows
from devstack.storage.backend import Backend
from devstack.storage.database import Connection, Operation
from devstack.storage.errors import (
    access_denied,
    invalid_request,
    key_already_exists,
    no_such_key,
)
from devstack.storage.json_bodies import json_body, json_response, required_property
from devstack.storage.names import require_key
from devstack.storage.rows import PROBE_VERSION
from devstack.storage.uploads import Target

MAX_PREFIXES = 1000


class ObjectRoutes:
    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    async def delete_many(self, request: Request) -> Response:
        """DELETE /object/{bucket}. Returns the deleted rows and silently skips absent and forbidden objects."""
        caller, body = self.backend.caller(request), await json_body(request)
        bucket_id = request.path_params["bucket"]
        names = [str(name) for name in required_property(body, "prefixes", list)]
        if len(names) > MAX_PREFIXES:
            raise invalid_request(f"body/prefixes must NOT have more than {MAX_PREFIXES} items")
        async with self.backend.transaction(request, caller, "object.delete_many") as connection:
            deleted = await rows.delete(connection, bucket_id, names)
        for row in deleted:
            self.backend.files.remove(bucket_id, row["name"], row["version"])
        return json_response(deleted)

    async def delete(self, request: Request) -> Response:
        caller = self.backend.caller(request)
        bucket_id, name = request.path_params["bucket"], request.path_params["name"]
        async with self.backend.transaction(request, caller, "object.delete") as connection:
            if await rows.find(connection, bucket_id, name) is None:
                raise no_such_key()
            deleted = await rows.delete(connection, bucket_id, [name])
        if not deleted:
            raise access_denied("Access denied")
        self.backend.files.remove(bucket_id, name, deleted[0]["version"])
        return json_response({"message": "Successfully deleted"})

    async def move(self, request: Request) -> Response:
        """Checks permission with an update as the caller, rolled back, then moves as service_role."""
        caller, body = self.backend.caller(request), await json_body(request)
        (bucket_id, name), (to_bucket, to_name) = _source_and_destination(body)
        operation = Operation.of(request, "object.move")
        async with self.backend.database.transaction(caller, operation, rolled_back=True) as connection:
            if await rows.find(connection, bucket_id, name) is None:
                raise no_such_key()
            if not await _rename(connection, (bucket_id, name), (to_bucket, to_name), PROBE_VERSION):
                raise no_such_key()
        version = str(uuid.uuid4())
        try:
            async with self.backend.database.transaction(self.backend.service(), operation) as connection:
                source = await rows.find(connection, bucket_id, name, lock="for update")
                if source is None:
                    raise no_such_key()
                await _rename(connection, (bucket_id, name), (to_bucket, to_name), version)
                path = self.backend.files.path(bucket_id, name, source["version"])
                self.backend.files.copy(path, to_bucket, to_name, version)
        except BaseException:
            self.backend.files.remove(to_bucket, to_name, version)
            raise
        self.backend.files.remove(bucket_id, name, source["version"])
        return json_response({"message": "Successfully moved"})

    async def copy(self, request: Request) -> Response:
        """An upload of stored bytes: checks permission as the caller, lands as service_role."""
        caller, body = self.backend.caller(request), await json_body(request)
        (bucket_id, name), (to_bucket, to_name) = _source_and_destination(body)
        operation = Operation.of(request, "object.copy")
        async with self.backend.database.transaction(caller, operation) as connection:
            source = await rows.find(connection, bucket_id, name)
        if source is None:
            raise no_such_key()
        upsert = request.headers.get("x-upsert") == "true"
        target = Target(to_bucket, to_name, caller.sub, upsert, source["user_metadata"])
        await self.backend.uploads.check_permission(caller, operation, target, source["metadata"] or {})
        received = self.backend.files.duplicate(self.backend.files.path(bucket_id, name, source["version"]))
        row = await self.backend.uploads.land(operation, target, received, source["metadata"] or {})
        return json_response({"Id": row["id"], "Key": f"{to_bucket}/{to_name}"})


def _source_and_destination(body: dict[str, Any]) -> tuple[tuple[str, str], tuple[str, str]]:
    """Bucket and name of both. Raises StorageError for an invalid request."""
    source = required_property(body, "bucketId", str), required_property(body, "sourceKey", str)
    to_bucket = str(body.get("destinationBucket") or source[0])
    return source, (to_bucket, require_key(required_property(body, "destinationKey", str)))


async def _rename(connection: Connection, source: tuple[str, str], target: tuple[str, str], version: str) -> bool:
    """False when the caller cannot update the row. Raises StorageError when the new name is taken."""
    try:
        cursor = await connection.execute(
            "update storage.objects set bucket_id = %s, name = %s, version = %s where bucket_id = %s and name = %s",
            [*target, version, *source],
        )
    except errors.UniqueViolation as error:
        raise key_already_exists() from error
    return cursor.rowcount == 1
