"""Uploads, in the order of the real Storage.

1. `check_permission`: an insert with version `1`, as the caller, that is rolled back.
2. The bytes are received.
3. `land`: the real row, as service_role, with its own version and the metadata of the bytes.

Resumable uploads use the same first and third step.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from devstack.keys import Keys
from devstack.storage import rows, upload_body
from devstack.storage.caller import Caller
from devstack.storage.database import Database, Operation
from devstack.storage.errors import invalid_mime_type
from devstack.storage.files import Files, ReceivedFile, metadata_of
from devstack.storage.names import require_key
from devstack.storage.rows import PROBE_VERSION, ObjectRow, Row

DEFAULT_SIZE_LIMIT = 50 * 1024 * 1024 * 1024


@dataclass(frozen=True)
class Target:
    """The object that an upload creates, and its owner."""

    bucket_id: str
    name: str
    owner: str | None
    upsert: bool
    user_metadata: dict[str, Any] | None = None


class Uploads:
    def __init__(self, database: Database, files: Files, keys: Keys, size_limit: int = DEFAULT_SIZE_LIMIT) -> None:
        """``size_limit``: bytes, for buckets without a lower limit."""
        self.database = database
        self.files = files
        self.service = Caller.service(keys)
        self.size_limit = size_limit

    async def check_permission(
        self, caller: Caller, operation: Operation, target: Target, metadata: dict[str, object]
    ) -> None:
        """Raises StorageError when policies or triggers refuse, or the object exists."""
        row = ObjectRow(target.bucket_id, target.name, target.owner, PROBE_VERSION, metadata, target.user_metadata)
        async with self.database.transaction(caller, operation, rolled_back=True) as connection:
            if target.upsert:
                await rows.upsert(connection, row)
            else:
                await rows.insert(connection, row)

    async def receive(self, request: Request, caller: Caller, operation: Operation, target: Target) -> Row:
        """Handles an upload in one request. Returns the row that was written."""
        require_key(target.name)
        bucket = await self.bucket(target.bucket_id, operation)
        upload = await upload_body.read(request)
        require_mime_type(bucket, upload.mime_type)
        target = Target(target.bucket_id, target.name, target.owner, target.upsert, upload.user_metadata)
        probe: dict[str, object] = {"mimetype": upload.mime_type}
        if upload.length is not None:
            probe["contentLength"] = upload.length
        await self.check_permission(caller, operation, target, probe)
        limit = self.limit_of(bucket)
        upload.check_content_length(limit)
        received = await self.files.receive(upload.limited_chunks(limit))
        return await self.land(
            operation, target, received, metadata_of(received, upload.mime_type, upload.cache_control)
        )

    async def land(
        self,
        operation: Operation,
        target: Target,
        received: ReceivedFile,
        metadata: dict[str, object],
        version: str | None = None,
    ) -> Row:
        """Moves the bytes to their path, then writes the row. If the row is refused, the bytes are deleted.

        The upload that finishes last wins, with or without upsert: permission was checked before the bytes came.
        ``version``: that of a resumable upload, which has one from its start.
        """
        version = version or str(uuid.uuid4())
        row = ObjectRow(target.bucket_id, target.name, target.owner, version, metadata, target.user_metadata)
        self.files.place(received, target.bucket_id, target.name, version)
        try:
            async with self.database.transaction(self.service, operation) as connection:
                await rows.lock_name(connection, target.bucket_id, target.name)
                replaced = await rows.find(connection, target.bucket_id, target.name, lock="for update")
                written = await rows.upsert(connection, row)
        except BaseException:
            self.files.remove(target.bucket_id, target.name, version)
            raise
        if replaced and replaced["version"]:
            self.files.remove(target.bucket_id, target.name, replaced["version"])
        return written

    async def bucket(self, bucket_id: str, operation: Operation) -> Row:
        """The bucket, read as service_role. Raises StorageError when there is none."""
        async with self.database.transaction(self.service, operation) as connection:
            return await rows.find_bucket(connection, bucket_id)

    def limit_of(self, bucket: Row) -> int:
        limit = bucket["file_size_limit"]
        return self.size_limit if limit is None else min(self.size_limit, int(limit))


def require_mime_type(bucket: Row, mime_type: str) -> None:
    """Raises StorageError for a type that the bucket does not allow.

    The comparison is exact and case-sensitive: `audio/mpeg` does not allow `audio/mpeg; codecs=x` or `Audio/MPEG`.
    `audio/*` allows all audio types.
    """
    allowed = bucket["allowed_mime_types"]
    if not allowed:
        return
    top_level = mime_type.partition("/")[0]
    if mime_type not in allowed and f"{top_level}/*" not in allowed and "*/*" not in allowed:
        raise invalid_mime_type(mime_type)
