"""The triggers on storage.objects judge rows that Storage's API would not send."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.callers import Caller, Json
from tests.catalogue import Database
from tests.database.storage import state


def insert_object(database: Database, asset_id: str, metadata: Json | None) -> None:
    """Inserts a row as Storage does for a signed upload and rolls it back. Raises the error of the trigger."""
    with database.transaction(force_rollback=True):
        database.execute("set local storage.operation = 'storage.object.upload_signed'")
        database.execute(
            "insert into storage.objects (bucket_id, name, metadata) values ('assets', %s, %s)",
            [asset_id, None if metadata is None else Jsonb(metadata)],
        )


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        # The guard reads the owner's limits. Landing queues a job and adds the bytes to the owner's usage.
        ("alter function assetdock_private.effective_limits(uuid) rename to lost", "could not be checked"),
        ("alter table assetdock_private.jobs rename to lost", "could not be recorded"),
        ("alter table assetdock_private.usage rename to lost", "could not be recorded"),
    ],
)
def test_the_triggers_turn_every_internal_error_into_42501(
    owner: Caller, database: Database, broken: str, message: str
) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    landed = {"eTag": '"x"', "size": 10, "mimetype": "audio/wav"}
    insert_object(database, asset_id, landed)

    with database.transaction(force_rollback=True):
        database.execute(broken)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=message):
            insert_object(database, asset_id, landed)

    assert state(database, asset_id) == "pending_upload"


@pytest.mark.parametrize(
    "before_the_bytes",
    [None, {}, {"mimetype": "audio/wav", "contentLength": 10}],
    ids=["before storage-api 1.45", "without a media type", "since storage-api 1.45"],
)
def test_a_signed_put_lands_with_each_versions_sequence_of_inserts(
    owner: Caller, database: Database, before_the_bytes: Json | None
) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    insert_object(database, asset_id, before_the_bytes)
    insert_object(database, asset_id, {"eTag": '"x"', "size": 10, "mimetype": "audio/wav"})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="reserved as audio/wav, but the upload says"):
        insert_object(database, asset_id, {"eTag": '"x"', "size": 10, "mimetype": "audio/mpeg"})


@pytest.mark.parametrize("size", ["many", "-1", "1e3", None])
def test_landed_bytes_without_a_valid_size_are_refused(owner: Caller, database: Database, size: Any) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="did not report the size"):
        insert_object(database, owner.reserve()["asset"]["id"], {"eTag": '"x"', "size": size, "mimetype": "audio/wav"})


def test_before_the_bytes_a_declared_length_may_exceed_the_size_limit_by_the_parts_of_a_form(
    owner: Caller, database: Database
) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute("insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, 1000)", [owner.owner_id])

    insert_object(database, asset_id, {"contentLength": 1000 + 65536, "mimetype": "audio/wav"})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="an asset may have 1000"):
        insert_object(database, asset_id, {"contentLength": 1000 + 65537, "mimetype": "audio/wav"})
