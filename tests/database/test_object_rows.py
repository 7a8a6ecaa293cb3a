"""What the triggers on storage.objects make of rows that are shown to them straight, without Storage."""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.callers import Caller, Json
from tests.database.test_storage_guard import Database, state


def show(database: Database, asset_id: str, metadata: Json, operation: str = "storage.object.upload_signed") -> None:
    """Shows the guard a row as Storage would, and takes it back. Raises what the guard raises."""
    with database.transaction(force_rollback=True):
        database.execute("select set_config('storage.operation', %s, true)", [operation])
        database.execute(
            "insert into storage.objects (bucket_id, name, metadata) values ('assets', %s, %s)",
            [asset_id, Jsonb(metadata)],
        )


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        # The guard asks for the cap, before and after the bytes; landing queues a job and books the bytes.
        ("alter function assetdock_private.limits_of(uuid) rename to lost", "could not be checked"),
        ("alter table assetdock_private.jobs rename to lost", "could not be recorded"),
        ("alter table assetdock_private.usage rename to lost", "could not be recorded"),
    ],
)
def test_no_error_but_42501_ever_leaves_the_triggers(owner: Caller, database: Database, broken: str, said: str) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    landed = {"eTag": '"x"', "size": 10, "mimetype": "audio/wav"}
    show(database, asset_id, landed)

    with database.transaction(force_rollback=True):
        database.execute(broken)
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=said):
            show(database, asset_id, landed)
    assert state(database, asset_id) == "pending_upload"


@pytest.mark.parametrize("size", ["many", "-1", "1e3", None])
def test_landed_bytes_whose_size_storage_does_not_tell_are_refused(
    owner: Caller, database: Database, size: Any
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="did not say how large"):
        show(database, owner.reserve()["asset"]["id"], {"eTag": '"x"', "size": size, "mimetype": "audio/wav"})


def test_an_upload_that_declares_more_than_a_form_of_the_cap_is_refused_before_its_bytes(
    owner: Caller, database: Database
) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute("insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, 1000)", [owner.owner_id])

    show(database, asset_id, {"contentLength": 1000 + 65536, "mimetype": "audio/wav"})
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="an asset may have 1000"):
        show(database, asset_id, {"contentLength": 1000 + 65537, "mimetype": "audio/wav"})
