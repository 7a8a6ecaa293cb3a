"""An upload, in the order in which the real Storage does it.

1. *ask*: an insert that is rolled back, as whoever is responsible, with version `1`: may this be?
2. the bytes come in;
3. *land*: the real row, as service_role, with a version of its own and the metadata of the bytes.

A resumable upload asks and lands the same way; only the middle differs.
"""

import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from devstack.keys import Keys
from devstack.storage import incoming, rows
from devstack.storage.caller import Caller
from devstack.storage.database import Database, Occasion
from devstack.storage.errors import invalid_mime_type, no_such_bucket
from devstack.storage.files import Files, Received, metadata_of
from devstack.storage.names import require_key
from devstack.storage.rows import PROBE_VERSION, ObjectRow, Row

DEFAULT_SIZE_LIMIT = 50 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class Target:
    """Where an upload goes, and in whose name."""

    bucket_id: str
    name: str
    owner: str | None
    upsert: bool
    user_metadata: dict[str, Any] | None = field(default=None)


class Uploads:
    def __init__(self, database: Database, files: Files, keys: Keys, size_limit: int = DEFAULT_SIZE_LIMIT) -> None:
        """``size_limit``: bytes, for buckets without a lower limit of their own."""
        self.database = database
        self.files = files
        self.service = Caller.service(keys)
        self.size_limit = size_limit

    async def ask(self, caller: Caller, occasion: Occasion, target: Target, metadata: dict[str, object]) -> None:
        """Raises StorageError when policies, triggers or an existing object refuse."""
        row = ObjectRow(target.bucket_id, target.name, target.owner, PROBE_VERSION, metadata, target.user_metadata)
        async with self.database.transaction(caller, occasion, rolled_back=True) as connection:
            if target.upsert:
                await rows.upsert(connection, row)
            else:
                await rows.insert(connection, row)

    async def receive(self, request: Request, caller: Caller, occasion: Occasion, target: Target) -> Row:
        """The whole of an upload that is one request. Returns the row that was written."""
        require_key(target.name)
        bucket = await self.bucket(target.bucket_id, occasion)
        upload = await incoming.of(request)
        require_mime_type(bucket, upload.mime_type)
        target = Target(target.bucket_id, target.name, target.owner, target.upsert, upload.user_metadata)
        asked: dict[str, object] = {"mimetype": upload.mime_type}
        if upload.length is not None:
            asked["contentLength"] = upload.length
        await self.ask(caller, occasion, target, asked)
        limit = self.limit_of(bucket)
        upload.refuse_over(limit)
        received = await self.files.receive(upload.within(limit))
        return await self.land(
            occasion, target, received, metadata_of(received, upload.mime_type, upload.cache_control)
        )

    async def land(
        self,
        occasion: Occasion,
        target: Target,
        received: Received,
        metadata: dict[str, object],
        version: str | None = None,
    ) -> Row:
        """Puts the bytes in their place, then writes the row; a refused row takes the bytes away again.

        Whoever finishes last wins, upsert or not: that was asked before the bytes came. ``version`` is that
        of a resumable upload, which has had one since it began.
        """
        version = version or str(uuid.uuid4())
        row = ObjectRow(target.bucket_id, target.name, target.owner, version, metadata, target.user_metadata)
        self.files.place(received, target.bucket_id, target.name, version)
        try:
            async with self.database.transaction(self.service, occasion) as connection:
                await rows.lock_name(connection, target.bucket_id, target.name)
                before = await rows.find(connection, target.bucket_id, target.name, lock="for update")
                written = await rows.upsert(connection, row)
        except BaseException:
            self.files.remove(target.bucket_id, target.name, version)
            raise
        if before and before["version"]:
            self.files.remove(target.bucket_id, target.name, before["version"])
        return written

    async def bucket(self, bucket_id: str, occasion: Occasion) -> Row:
        """The bucket, seen with Storage's own eyes. Raises StorageError when there is none."""
        async with self.database.transaction(self.service, occasion) as connection:
            cursor = await connection.execute("select * from storage.buckets where id = %s", [bucket_id])
            bucket = await cursor.fetchone()
        if bucket is None:
            raise no_such_bucket()
        return bucket

    def limit_of(self, bucket: Row) -> int:
        limit = bucket["file_size_limit"]
        return self.size_limit if limit is None else min(self.size_limit, int(limit))


def require_mime_type(bucket: Row, mime_type: str) -> None:
    """Exact and case-sensitive: `audio/mpeg; codecs=x` and `Audio/MPEG` are not `audio/mpeg`. `audio/*`
    covers all of audio. Raises StorageError.
    """
    allowed = bucket["allowed_mime_types"]
    if not allowed:
        return
    family = mime_type.partition("/")[0]
    if mime_type not in allowed and f"{family}/*" not in allowed and "*/*" not in allowed:
        raise invalid_mime_type(mime_type)
