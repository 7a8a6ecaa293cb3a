"""The outbox: which deliveries an event creates, how they share capacity, and when they are deleted."""

from typing import Any

import psycopg
import pytest

from tests.callers import Caller, Json
from tests.catalogue import Database
from tests.database.plans import executed_scans
from tests.database.queue import lease
from tests.database.webhooks import delete, deliveries


def lease_deliveries(database: Database, max_jobs: int) -> list[str]:
    return [job["id"] for job in lease(database, max_jobs=max_jobs, kinds=["deliver"])]


def test_an_event_and_its_deliveries_are_one_transaction(owner: Caller, endpoint: Json, database: Database) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    with database.transaction(force_rollback=True):
        delete(database, asset_id)
        assert deliveries(database, endpoint) == [("asset.deleted", "pending", "deleted", 0)]

    assert deliveries(database, endpoint) == []
    assert owner.asset(asset_id)["state"] == "pending_upload"


def test_an_event_creates_deliveries_only_for_enabled_subscribed_endpoints_of_the_owner(
    owner: Caller, stranger: Caller, reserved_id: str, database: Database
) -> None:
    subscribed = owner.create_endpoint("https://hooks.invalid/", "asset.deleted", "asset.ready")
    others = [
        owner.create_endpoint("https://hooks.invalid/", "asset.ready"),
        stranger.create_endpoint("https://hooks.invalid/"),
    ]
    for change in ("disabled_at = now(), disabled_reason = 'gone'", "deleted_at = now()"):
        others.append(owner.create_endpoint("https://hooks.invalid/"))
        database.execute(f"update assetdock_app.webhook_endpoints set {change} where id = %s", [others[-1]["id"]])

    delete(database, reserved_id)

    assert len(deliveries(database, subscribed)) == 1
    assert [deliveries(database, other) for other in others] == [[], [], [], []]


def test_an_event_finds_the_endpoints_of_its_owner_by_index(reserved_id: str, database: Database) -> None:
    # With so many rows, a sequential scan is the slower plan.
    database.execute(
        "insert into assetdock_app.webhook_endpoints (owner_id, url, event_types)"
        " select gen_random_uuid(), 'https://x.example', array['asset.deleted'] from generate_series(1, 2000)"
    )
    database.execute("analyze assetdock_app.webhook_endpoints")

    scans = executed_scans(database, "select assetdock_private.delete_asset(%s, now())", [reserved_id])

    on_endpoints = [scan for scan in scans if scan.table == "webhook_endpoints"]
    assert [scan.index for scan in on_endpoints] == ["webhook_endpoints_by_owner"]
    assert all("owner_id" in (scan.index_condition or "") for scan in on_endpoints)


def test_deliveries_of_one_owner_leave_capacity_for_those_of_others(
    owner: Caller, stranger: Caller, reserved_id: str, database: Database
) -> None:
    endpoints = [owner.create_endpoint("https://hooks.invalid/", "asset.deleted") for _ in range(5)]
    strangers_endpoint = stranger.create_endpoint("https://hooks.invalid/", "asset.deleted")
    delete(database, reserved_id)
    # The stranger's delivery is the newest.
    delete(database, stranger.reserve()["asset"]["id"])

    first, second = lease_deliveries(database, 16), lease_deliveries(database, 16)

    recipients = database.execute(
        "select j.recipient::text from assetdock_private.jobs j where j.id = any(%s)", [first]
    ).fetchall()
    assert sorted(recipient for (recipient,) in recipients) == sorted([owner.owner_id] * 2 + [stranger.owner_id])
    assert second == []
    assert len(deliveries(database, strangers_endpoint)) == 1
    # Expires the leases.
    database.execute("update assetdock_private.jobs set available_at = now() where id = any(%s)", [first])
    assert len(lease_deliveries(database, 1)) == 1
    assert sum(len(deliveries(database, endpoint)) for endpoint in endpoints) == 5


def test_all_deliveries_of_an_owner_are_leased_oldest_first(
    owner: Caller, reserved_id: str, database: Database
) -> None:
    for _ in range(5):
        owner.create_endpoint("https://hooks.invalid/", "asset.deleted")
    delete(database, reserved_id)
    database.execute(
        "update assetdock_private.jobs j set available_at = now() - n.position * interval '1 s'"
        " from (select id, row_number() over (order by id) as position from assetdock_private.jobs"
        " where kind = 'deliver' and finished_at is null) n where n.id = j.id"
    )
    waiting = database.execute(
        "select id::text from assetdock_private.jobs where kind = 'deliver' and finished_at is null"
        " order by available_at"
    ).fetchall()
    oldest_first = [job_id for (job_id,) in waiting]
    sent: list[str] = []

    while jobs := lease_deliveries(database, 16):
        assert len(jobs) <= 2
        sent += sorted(jobs, key=oldest_first.index)
        database.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'done', lease_token = null"
            " where id = any(%s)",
            [jobs],
        )

    assert sent == oldest_first


def test_tests_and_replays_of_webhooks_have_a_rate_limit(owner: Caller, endpoint: Json, database: Database) -> None:
    test, replay = (
        "select assetdock.test_webhook_endpoint(%s) ->> 'id'",
        "select assetdock.replay_webhook_delivery(%s, %s)",
    )
    with database.transaction(force_rollback=True):
        database.execute("update assetdock_private.settings set webhook_requests_per_minute = 2 where singleton")
        database.execute(
            "select set_config('request.jwt.claims', %s, true)",
            [f'{{"role": "authenticated", "sub": "{owner.owner_id}"}}'],
        )
        row = database.execute(test, [endpoint["id"]]).fetchone()
        assert row is not None
        delivery_id = row[0]
        database.execute(replay, [endpoint["id"], delivery_id])

        for function, arguments in ((test, [endpoint["id"]]), (replay, [endpoint["id"], delivery_id])):
            with pytest.raises(psycopg.Error, match="rate_limited") as raised, database.transaction():
                database.execute(function, arguments)
            assert "2 tests and replays of webhooks in one minute" in str(raised.value)
        database.execute("update assetdock_private.webhook_requests set minute = minute - interval '1 min'")
        database.execute(replay, [endpoint["id"], delivery_id])


def insert_old_delivery(database: Database, endpoint: Json, state: str, **times: Any) -> None:
    """Inserts a delivery whose id says that it was created 31 days ago."""
    database.execute(
        "insert into assetdock_private.webhook_deliveries"
        " (id, webhook_endpoint_id, event_type, occurred_at, data, state, delivered_at, next_attempt_at)"
        " select overlay(assetdock_private.uuid7()::text placing substring(floor::text for 13) from 1 for 13)::uuid,"
        "  %s, 'asset.ready', now(), '{}', %s, %s::timestamptz, %s::timestamptz"
        " from assetdock_private.uuid7_floor(now() - interval '31 days') floor",
        [endpoint["id"], state, times.get("delivered_at"), times.get("next_attempt_at")],
    )


def test_maintenance_deletes_old_deliveries_except_pending_ones(
    endpoint: Json, reserved_id: str, database: Database
) -> None:
    insert_old_delivery(database, endpoint, "delivered", delivered_at="now")
    insert_old_delivery(database, endpoint, "failed")
    insert_old_delivery(database, endpoint, "pending", next_attempt_at="now")
    delete(database, reserved_id)

    database.execute("select assetdock.run_maintenance()")

    assert [row[:2] for row in deliveries(database, endpoint)] == [
        ("asset.ready", "pending"),
        ("asset.deleted", "pending"),
    ]


def test_maintenance_deletes_the_deliveries_of_a_deleted_endpoint_and_later_the_endpoint(
    endpoint: Json, reserved_id: str, database: Database
) -> None:
    exists = "select from assetdock_app.webhook_endpoints where id = %s"
    delete(database, reserved_id)
    database.execute("update assetdock_app.webhook_endpoints set deleted_at = now() where id = %s", [endpoint["id"]])
    database.execute("select assetdock.run_maintenance()")
    assert deliveries(database, endpoint) == []
    assert database.execute(exists, [endpoint["id"]]).fetchone() is not None

    database.execute(
        "update assetdock_app.webhook_endpoints set deleted_at = now() - interval '31 days' where id = %s",
        [endpoint["id"]],
    )
    database.execute("select assetdock.run_maintenance()")

    assert database.execute(exists, [endpoint["id"]]).fetchone() is None


def test_the_endpoints_and_secrets_of_a_deleted_user_are_deleted(
    owner: Caller, endpoint: Json, database: Database
) -> None:
    with database.transaction(force_rollback=True):
        database.execute("delete from auth.users where id = %s", [owner.owner_id])

        row = database.execute(
            "select e.deleted_at is not null, s.secret from assetdock_app.webhook_endpoints e"
            " left join assetdock_private.webhook_secrets s on s.webhook_endpoint_id = e.id where e.id = %s",
            [endpoint["id"]],
        ).fetchone()

    assert row == (True, None)
