"""Maintenance: expiring reservations, deleting old rows, and users that Auth deleted."""

from tests.callers import Caller
from tests.catalogue import Database
from tests.database.plans import executed_scans


def test_maintenance_deletes_only_assets_and_keys_that_ended_90_days_ago(
    database: Database, owner: Caller, stranger: Caller
) -> None:
    old, recent, pending = (owner.reserve()["asset"]["id"] for _ in range(3))
    revoked_key, valid_key = owner.mint_key()["id"], owner.mint_key()["id"]
    with database.transaction(force_rollback=True):
        database.execute("update assetdock_app.assets set state = 'expired' where id = any(%s)", [[old, recent]])
        database.execute(
            "update assetdock_app.assets set upload_expires_at = now() - interval '91 days',"
            " finish_by = now() - interval '91 days' where id = %s",
            [old],
        )
        database.execute(
            "update assetdock_app.api_keys set revoked_at = now() - interval '91 days' where id = %s", [revoked_key]
        )

        database.execute("select assetdock.run_maintenance()")

        left = database.execute(
            "select id::text from assetdock_app.assets where owner_id = %s", [owner.owner_id]
        ).fetchall()
        keys = database.execute(
            "select id::text from assetdock_app.api_keys where owner_id = %s", [owner.owner_id]
        ).fetchall()
    assert {row[0] for row in left} == {recent, pending}
    assert keys == [(valid_key,)]


def test_pruning_an_asset_finds_its_jobs_by_index(database: Database, owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    with database.transaction(force_rollback=True):
        database.execute(
            "update assetdock_app.assets set state = 'expired', upload_expires_at = now() - interval '91 days',"
            " finish_by = now() - interval '91 days' where id = %s",
            [asset_id],
        )
        # With so many rows, a sequential scan is the slower plan.
        database.execute(
            "insert into assetdock_private.jobs (kind, owner_id, finished_at, outcome)"
            " select 'purge_owner', gen_random_uuid(), now(), 'done' from generate_series(1, 5000)"
        )
        database.execute("analyze assetdock_private.jobs")

        scans = executed_scans(database, "select assetdock.run_maintenance()", [])
        left = database.execute("select from assetdock_app.assets where id = %s", [asset_id]).fetchone()

    cascade = [scan for scan in scans if scan.table == "jobs" and scan.statement.startswith("DELETE FROM ONLY")]
    assert left is None
    assert {scan.index for scan in cascade} == {"jobs_by_asset"}
    assert all(scan.index_condition for scan in cascade)


def test_maintenance_expires_at_most_a_batch_of_reservations_and_returns_their_ids(
    database: Database, owner: Caller
) -> None:
    expired = [owner.reserve()["asset"]["id"] for _ in range(3)]
    with database.transaction(force_rollback=True):
        database.execute("select assetdock.run_maintenance(1000)")  # for the reservations of other tests
        database.execute(
            "update assetdock_app.assets set upload_expires_at = '2020-01-01', finish_by = '2020-01-01'"
            " where id = any(%s)",
            [expired],
        )

        batches = [database.execute("select assetdock.run_maintenance(2) -> 'expired'").fetchone() for _ in range(2)]

    assert [len(batch[0]) for batch in batches if batch] == [2, 1]
    assert sorted(asset_id for batch in batches if batch for asset_id in batch[0]) == sorted(expired)


def test_a_soft_deleted_user_is_purged_like_a_deleted_one(database: Database, owner: Caller) -> None:
    with database.transaction(force_rollback=True):
        database.execute("update auth.users set deleted_at = now() where id = %s", [owner.owner_id])

        jobs = database.execute(
            "select kind from assetdock_private.jobs where owner_id = %s", [owner.owner_id]
        ).fetchall()

    assert jobs == [("purge_owner",)]
