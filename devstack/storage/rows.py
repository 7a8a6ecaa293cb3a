"""Statements on storage.objects and storage.buckets, run in the caller's transaction."""

import uuid
from dataclasses import dataclass
from typing import Any

from psycopg import errors
from psycopg.types.json import Jsonb

from devstack.storage.database import Connection
from devstack.storage.errors import internal, key_already_exists, no_such_bucket

Row = dict[str, Any]
PROBE_VERSION = "1"  # the version of rows that permission checks insert and roll back


@dataclass(frozen=True)
class ObjectRow:
    """The row of an upload. ``owner`` is any text; the deprecated column `owner` is set only for a UUID."""

    bucket_id: str
    name: str
    owner: str | None
    version: str
    metadata: dict[str, Any]
    user_metadata: dict[str, Any] | None = None

    def columns(self) -> Row:
        return {
            "bucket_id": self.bucket_id,
            "name": self.name,
            "owner_id": self.owner,
            "owner": self.owner if self.owner and _is_uuid(self.owner) else None,
            "version": self.version,
            "metadata": Jsonb(self.metadata),
            "user_metadata": None if self.user_metadata is None else Jsonb(self.user_metadata),
        }


_INSERT = """
insert into storage.objects (bucket_id, name, owner, owner_id, version, metadata, user_metadata)
values (%(bucket_id)s, %(name)s, %(owner)s, %(owner_id)s, %(version)s, %(metadata)s, %(user_metadata)s)
"""


async def insert(connection: Connection, row: ObjectRow) -> None:
    """Raises StorageError when the object exists."""
    try:
        await connection.execute(_INSERT, row.columns())
    except errors.UniqueViolation as error:
        raise key_already_exists() from error


async def upsert(connection: Connection, row: ObjectRow) -> Row:
    """Inserts or overwrites, in one statement: an overwrite fires BEFORE INSERT and then BEFORE UPDATE."""
    cursor = await connection.execute(
        _INSERT
        + """on conflict (bucket_id, name) do update set
          owner = excluded.owner, owner_id = excluded.owner_id, version = excluded.version,
          metadata = excluded.metadata, user_metadata = excluded.user_metadata
        returning *""",
        row.columns(),
    )
    written = await cursor.fetchone()
    if written is None:  # a trigger returned null
        raise internal("Internal server error")
    return written


async def find(connection: Connection, bucket_id: str, name: str, *, lock: str = "") -> Row | None:
    """``lock``: "" or `for update`."""
    cursor = await connection.execute(
        f"select * from storage.objects where bucket_id = %s and name = %s {lock}".encode(),  # noqa: S608
        [bucket_id, name],
    )
    return await cursor.fetchone()


async def delete(connection: Connection, bucket_id: str, names: list[str]) -> list[Row]:
    """Deletes the objects that the caller can delete and see, and returns their rows."""
    cursor = await connection.execute(
        "delete from storage.objects where bucket_id = %s and name = any (%s) returning *", [bucket_id, names]
    )
    return await cursor.fetchall()


async def lock_name(connection: Connection, bucket_id: str, name: str) -> None:
    """Serializes uploads to one name that finish at the same time."""
    await connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"{bucket_id}/{name}"])


async def find_bucket(connection: Connection, bucket_id: str) -> Row:
    """Raises StorageError when the caller sees no such bucket."""
    cursor = await connection.execute("select * from storage.buckets where id = %s", [bucket_id])
    if bucket := await cursor.fetchone():
        return bucket
    raise no_such_bucket()


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
