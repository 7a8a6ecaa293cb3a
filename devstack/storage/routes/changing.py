"""Objects that are there already: deleted, moved, copied."""

import uuid

from psycopg import errors
from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import rows
from devstack.storage.answers import body_of, json_answer, required
from devstack.storage.database import Connection, Occasion
from devstack.storage.desk import Desk
from devstack.storage.errors import (
    RLS_MESSAGE,
    access_denied,
    invalid_request,
    key_already_exists,
    no_such_key,
)
from devstack.storage.names import require_key
from devstack.storage.rows import PROBE_VERSION
from devstack.storage.uploads import Target

MAX_PREFIXES = 1000


class Changing:
    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def delete_many(self, request: Request) -> Response:
        """DELETE /object/{bucket}: answers with the rows that went. What is absent or forbidden is not
        among them, and is no error.
        """
        caller, body, bucket_id = (
            self.desk.caller(request),
            await body_of(request),
            request.path_params["bucket"],
        )
        names = [str(name) for name in required(body, "prefixes", list)]
        if len(names) > MAX_PREFIXES:
            raise invalid_request(f"body/prefixes must NOT have more than {MAX_PREFIXES} items")
        async with self.desk.database.transaction(caller, Occasion.of(request, "object.delete_many")) as connection:
            deleted = await rows.delete(connection, bucket_id, names)
        for row in deleted:
            self.desk.files.remove(bucket_id, row["name"], row["version"])
        return json_answer(deleted)

    async def delete(self, request: Request) -> Response:
        caller, bucket_id, name = (
            self.desk.caller(request),
            request.path_params["bucket"],
            request.path_params["name"],
        )
        async with self.desk.database.transaction(caller, Occasion.of(request, "object.delete")) as connection:
            deleted = await rows.delete(connection, bucket_id, [name])
        if not deleted:
            raise no_such_key()
        self.desk.files.remove(bucket_id, name, deleted[0]["version"])
        return json_answer({"message": "Successfully deleted"})

    async def move(self, request: Request) -> Response:
        """Asked as the caller, by an update that is rolled back; done as service_role."""
        caller, body = self.desk.caller(request), await body_of(request)
        bucket_id, name = required(body, "bucketId", str), required(body, "sourceKey", str)
        to_bucket = str(body.get("destinationBucket") or bucket_id)
        to_name = require_key(required(body, "destinationKey", str))
        occasion = Occasion.of(request, "object.move")
        async with self.desk.database.transaction(caller, occasion, rolled_back=True) as connection:
            if await rows.find(connection, bucket_id, name) is None:
                raise no_such_key()
            if not await _rename(connection, (bucket_id, name), (to_bucket, to_name), PROBE_VERSION):
                raise access_denied(RLS_MESSAGE)
        version = str(uuid.uuid4())
        try:
            async with self.desk.database.transaction(self.desk.service(), occasion) as connection:
                source = await rows.find(connection, bucket_id, name, lock="for update")
                if source is None:
                    raise no_such_key()
                await _rename(connection, (bucket_id, name), (to_bucket, to_name), version)
                path = self.desk.files.path(bucket_id, name, source["version"])
                self.desk.files.copy(path, to_bucket, to_name, version)
        except BaseException:
            self.desk.files.remove(to_bucket, to_name, version)
            raise
        self.desk.files.remove(bucket_id, name, source["version"])
        return json_answer({"message": "Successfully moved"})

    async def copy(self, request: Request) -> Response:
        """An upload whose bytes are here already: asked as the caller, landed as service_role."""
        caller, body = self.desk.caller(request), await body_of(request)
        bucket_id, name = required(body, "bucketId", str), required(body, "sourceKey", str)
        to_bucket = str(body.get("destinationBucket") or bucket_id)
        to_name = require_key(required(body, "destinationKey", str))
        occasion = Occasion.of(request, "object.copy")
        async with self.desk.database.transaction(caller, occasion) as connection:
            source = await rows.find(connection, bucket_id, name)
        if source is None:
            raise no_such_key()
        upsert = request.headers.get("x-upsert") == "true"
        target = Target(to_bucket, to_name, caller.sub, upsert, source["user_metadata"])
        await self.desk.uploads.ask(caller, occasion, target, source["metadata"] or {})
        received = self.desk.files.duplicate(self.desk.files.path(bucket_id, name, source["version"]))
        row = await self.desk.uploads.land(occasion, target, received, source["metadata"] or {})
        return json_answer({"Id": row["id"], "Key": f"{to_bucket}/{to_name}"})


async def _rename(connection: Connection, source: tuple[str, str], target: tuple[str, str], version: str) -> bool:
    """False when the caller may not update that row. Raises StorageError when the new name is taken."""
    try:
        cursor = await connection.execute(
            "update storage.objects set bucket_id = %s, name = %s, version = %s where bucket_id = %s and name = %s",
            [*target, version, *source],
        )
    except errors.UniqueViolation as error:
        raise key_already_exists() from error
    return cursor.rowcount == 1
