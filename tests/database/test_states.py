"""The state machine of assets, transition by transition."""

from itertools import product

import psycopg
import pytest

from tests.callers import Caller
from tests.catalogue import Database

STATES = ["pending_upload", "processing", "ready", "failed", "expired", "deleted"]
ALLOWED = {
    ("pending_upload", "processing"),
    ("pending_upload", "expired"),
    ("pending_upload", "deleted"),
    ("processing", "ready"),
    ("processing", "failed"),
    ("processing", "deleted"),
    ("ready", "deleted"),
    ("failed", "deleted"),
    ("expired", "deleted"),
    ("deleted", "processing"),
    ("deleted", "ready"),
    ("deleted", "failed"),
}
FACTS = "landed_at = now(), ready_at = now(), error_code = 'unreadable_media'"


def deletion(state: str) -> tuple[str | None, str | None]:
    """deleted_at and deleted_from of an asset in this state."""
    return ("2026-01-01", "ready") if state == "deleted" else (None, None)


@pytest.mark.parametrize(("before", "after"), [pair for pair in product(STATES, STATES) if pair[0] != pair[1]])
def test_exactly_the_allowed_transitions_exist(owner: Caller, database: Database, before: str, after: str) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    with database.transaction(force_rollback=True):
        # Without triggers, the test can set any state.
        database.execute("set local session_replication_role = replica")
        database.execute(
            f"update assetdock_app.assets set state = %s, {FACTS}, deleted_at = %s, deleted_from = %s where id = %s",
            [before, *deletion(before), asset_id],
        )
        database.execute("set local session_replication_role = origin")
        change = (
            "update assetdock_app.assets set state = %s, deleted_at = %s, deleted_from = %s where id = %s",
            [after, *deletion(after), asset_id],
        )
        if (before, after) in ALLOWED:
            database.execute(*change)
            last = database.execute(
                "select from_state, to_state, actor from assetdock_app.asset_events where asset_id = %s"
                " order by id desc limit 1",
                [asset_id],
            ).fetchone()
            actor = "session" if after == "processing" and before == "pending_upload" else "system"
            assert last == (before, after, actor)
        else:
            with pytest.raises(psycopg.Error, match=f"never goes from {before} to {after}") as raised:
                database.execute(*change)
            assert raised.value.sqlstate == "PGRST"


@pytest.mark.parametrize("state", STATES[1:])
def test_an_asset_must_begin_as_pending_upload(database: Database, owner: Caller, state: str) -> None:
    with pytest.raises(psycopg.Error, match="begins as pending_upload"):
        database.execute(
            "insert into assetdock_app.assets (owner_id, type, state, reserved_by, upload_expires_at, finish_by,"
            " landed_at, ready_at, error_code, deleted_at, deleted_from)"
            " values (%s, 'audio', %s, 'session', now(), now(), now(), now(), 'unreadable_media', %s, %s)",
            [owner.owner_id, state, *deletion(state)],
        )
