"""The outbox and the schedule of deliveries, in the database alone."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.callers import Caller, Json
from tests.database.plans import executed_scans

Database = psycopg.Connection[Any]


@pytest.fixture
def hook(owner: Caller) -> Json:
    return owner.hook("https://hooks.invalid/")


@pytest.fixture
def asset_id(owner: Caller, database: Database) -> Iterator[str]:
    """An asset in a transaction that no worker sees and that is rolled back at the end."""
    reserved: str = owner.reserve()["asset"]["id"]
    with database.transaction(force_rollback=True):
        database.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'cancelled', lease_token = null"
            " where finished_at is null"
        )
        yield reserved


def delete(database: Database, asset_id: str) -> None:
    database.execute("select assetdock_private.delete_asset(%s, now() + interval '30 days')", [asset_id])


def deliveries(database: Database, hook: Json) -> list[Any]:
    return database.execute(
        "select event_type, state, data ->> 'state', attempts from assetdock_private.webhook_deliveries"
        " where webhook_endpoint_id = %s order by id",
        [hook["id"]],
    ).fetchall()


def leased(database: Database) -> Json:
    """The one deliver job, leased by hand."""
    row = database.execute(
        "update assetdock_private.jobs set lease_token = gen_random_uuid(), available_at = now() + interval '1 min'"
        " where kind = 'deliver' and finished_at is null"
        " returning jsonb_build_object('id', id, 'lease_token', lease_token)"
    ).fetchall()
    assert len(row) == 1
    job: Json = row[0][0]
    return job


def call(database: Database, function: str, job: Json, *more: Any) -> Json:
    places = ", %s" * len(more)
    row = database.execute(
        f"select assetdock.{function}(%s, %s{places})", [job["id"], job["lease_token"], *more]
    ).fetchone()  # fmt: skip
    assert row is not None
    answer: Json = row[0]
    return answer


def test_an_event_and_its_deliveries_are_one_transaction(owner: Caller, hook: Json, database: Database) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    with database.transaction(force_rollback=True):
        delete(database, asset_id)
        assert deliveries(database, hook) == [("asset.deleted", "pending", "deleted", 0)]

    assert deliveries(database, hook) == []
    assert owner.asset(asset_id)["state"] == "pending_upload"


def test_only_enabled_endpoints_of_the_owner_that_subscribed_are_owed_a_delivery(
    owner: Caller, stranger: Caller, asset_id: str, database: Database
) -> None:
    wanted = owner.hook("https://hooks.invalid/", "asset.deleted", "asset.ready")
    others = [owner.hook("https://hooks.invalid/", "asset.ready"), stranger.hook("https://hooks.invalid/")]
    for change in ("disabled_at = now(), disabled_reason = 'gone'", "deleted_at = now()"):
        others.append(owner.hook("https://hooks.invalid/"))
        database.execute(f"update assetdock_app.webhook_endpoints set {change} where id = %s", [others[-1]["id"]])

    delete(database, asset_id)

    assert len(deliveries(database, wanted)) == 1
    assert [deliveries(database, other) for other in others] == [[], [], [], []]


def test_an_event_finds_the_endpoints_of_its_owner_by_index(asset_id: str, database: Database) -> None:
    # With so many rows, a sequential scan is the slower plan.
    database.execute(
        "insert into assetdock_app.webhook_endpoints (owner_id, url, event_types)"
        " select gen_random_uuid(), 'https://x.example', array['asset.deleted'] from generate_series(1, 2000)"
    )
    database.execute("analyze assetdock_app.webhook_endpoints")

    scans = executed_scans(database, "select assetdock_private.delete_asset(%s, now())", [asset_id])

    on_endpoints = [scan for scan in scans if scan.table == "webhook_endpoints"]
    assert [scan.index for scan in on_endpoints] == ["webhook_endpoints_by_owner"]
    assert all("owner_id" in (scan.index_condition or "") for scan in on_endpoints)


def test_the_waits_follow_the_schedule_with_up_to_a_fifth_more_and_then_it_has_failed(
    hook: Json, asset_id: str, database: Database
) -> None:
    delete(database, asset_id)
    schedule = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]

    for wait in schedule:
        job = leased(database)
        assert call(database, "record_delivery", job, 500, 12, "Answered 500.") == {"outcome": "retry"}
        row = database.execute(
            "select extract(epoch from j.available_at - now())::float, j.lease_token,"
            " d.next_attempt_at = j.available_at"
            " from assetdock_private.jobs j join assetdock_private.webhook_deliveries d on d.id = j.delivery_id where j.id = %s",
            [job["id"]],
        ).fetchone()
        assert row is not None
        assert wait <= row[0] <= wait * 1.2
        assert row[1:] == (None, True)
    assert call(database, "record_delivery", leased(database), None, 15000, "No answer.") == {"outcome": "failed"}

    assert deliveries(database, hook) == [("asset.deleted", "failed", "deleted", 10)]
    open_jobs = database.execute(
        "select count(*) from assetdock_private.jobs where kind = 'deliver' and finished_at is null"
    )
    assert open_jobs.fetchone() == (0,)


def test_a_worker_that_overslept_its_lease_can_neither_begin_nor_record(
    hook: Json, asset_id: str, database: Database
) -> None:
    delete(database, asset_id)
    stale = leased(database)
    database.execute("update assetdock_private.jobs set available_at = now() where id = %s", [stale["id"]])

    for function, more in (("begin_delivery", ()), ("record_delivery", (200, 1, None))):
        with pytest.raises(psycopg.Error, match="lease on this job has passed"), database.transaction():
            call(database, function, stale, *more)
    assert deliveries(database, hook) == [("asset.deleted", "pending", "deleted", 0)]


def test_the_body_is_the_same_at_every_attempt_whatever_became_of_the_asset(
    hook: Json, asset_id: str, database: Database
) -> None:
    delete(database, asset_id)
    first = call(database, "begin_delivery", leased(database))
    database.execute("update assetdock_app.assets set filename = 'other' where id = %s", [asset_id])

    second = call(database, "begin_delivery", leased(database))

    assert first == second
    assert first["secrets"] == [hook["secret"]]
    assert first["loopback"] is False


def test_a_delivery_whose_attempts_all_break_off_is_given_up(hook: Json, asset_id: str, database: Database) -> None:
    delete(database, asset_id)
    job = leased(database)
    database.execute("update assetdock_private.jobs set attempts = 21 where id = %s", [job["id"]])

    assert call(database, "begin_delivery", job)["outcome"] == "dropped"
    assert deliveries(database, hook) == [("asset.deleted", "failed", "deleted", 0)]


def lease(database: Database, number: int) -> list[str]:
    row = database.execute("select assetdock.lease_jobs('w', %s, 60, '{deliver}') -> 'jobs'", [number]).fetchone()
    assert row is not None
    return [job["id"] for job in row[0]]


def test_receivers_that_hang_cost_their_owner_time_and_not_others(
    owner: Caller, stranger: Caller, asset_id: str, database: Database
) -> None:
    hooks = [owner.hook("https://hooks.invalid/", "asset.deleted") for _ in range(5)]
    other = stranger.hook("https://hooks.invalid/", "asset.deleted")
    delete(database, asset_id)
    # The stranger's comes last.
    delete(database, stranger.reserve()["asset"]["id"])
    recipients = "select j.recipient::text from assetdock_private.jobs j where j.id = any(%s)"

    first, second = lease(database, 16), lease(database, 16)

    leased_of = sorted(row[0] for row in database.execute(recipients, [first]).fetchall())
    assert leased_of == sorted([owner.owner_id] * 2 + [stranger.owner_id])
    assert second == []
    assert len(deliveries(database, other)) == 1
    database.execute(
        "update assetdock_private.jobs set available_at = now() where id = any(%s)", [first]
    )  # the leases end
    assert len(lease(database, 1)) == 1
    assert sum(len(deliveries(database, hook)) for hook in hooks) == 5


def test_what_an_owner_is_owed_is_sent_oldest_first_in_the_end_all_of_it(
    owner: Caller, asset_id: str, database: Database
) -> None:
    for _ in range(5):
        owner.hook("https://hooks.invalid/", "asset.deleted")
    delete(database, asset_id)
    database.execute(
        "update assetdock_private.jobs j set available_at = now() - n.place * interval '1 s'"
        " from (select id, row_number() over (order by id) as place from assetdock_private.jobs where kind = 'deliver'"
        " and finished_at is null) n where n.id = j.id"
    )
    waiting = database.execute(
        "select id::text from assetdock_private.jobs where kind = 'deliver' and finished_at is null order by available_at"
    ).fetchall()
    sent: list[str] = []
    while jobs := lease(database, 16):
        assert len(jobs) <= 2
        sent += sorted(jobs, key=[row[0] for row in waiting].index)
        database.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'done', lease_token = null where id = any(%s)",
            [jobs],
        )

    assert sent == [row[0] for row in waiting]


def test_tests_and_replays_have_a_rate_of_their_own(owner: Caller, hook: Json, database: Database) -> None:
    with database.transaction(force_rollback=True):
        database.execute("update assetdock_private.settings set webhook_requests_per_minute = 2 where singleton")
        database.execute(
            "select set_config('request.jwt.claims', %s, true)",
            [f'{{"role": "authenticated", "sub": "{owner.owner_id}"}}'],
        )
        test = "select assetdock.test_webhook_endpoint(%s) ->> 'id'"
        row = database.execute(test, [hook["id"]]).fetchone()
        assert row is not None
        replay = "select assetdock.replay_webhook_delivery(%s, %s)"
        database.execute(replay, [hook["id"], row[0]])
        for call_again, arguments in ((test, [hook["id"]]), (replay, [hook["id"], row[0]])):
            with pytest.raises(psycopg.Error, match="rate_limited") as refusal, database.transaction():
                database.execute(call_again, arguments)
            assert "2 tests and replays of webhooks in one minute" in str(refusal.value)
        database.execute("update assetdock_private.webhook_requests set minute = minute - interval '1 min'")
        database.execute(replay, [hook["id"], row[0]])


def test_a_delivery_is_not_put_off_like_a_probe(hook: Json, asset_id: str, database: Database) -> None:
    delete(database, asset_id)
    job = leased(database)
    database.execute("update assetdock_private.settings set retry_window = '0' where singleton")

    with pytest.raises(psycopg.Error, match="record_delivery"), database.transaction():
        call(database, "retry_job", job, "no")

    assert call(database, "record_delivery", job, 500, 5)["outcome"] == "retry"


def test_old_deliveries_are_pruned_and_pending_ones_are_not(hook: Json, asset_id: str, database: Database) -> None:
    # Three that were made 31 days ago, by their ids; one of them still pending.
    old = "overlay(assetdock_private.uuid7()::text placing substring(assetdock_private.uuid7_floor(now() - interval '31 days')::text"
    old += " for 13) from 1 for 13)::uuid"
    for state, delivered, following in (
        ("delivered", "now()", "null"),
        ("failed", "null", "null"),
        ("pending", "null", "now()"),
    ):
        database.execute(
            "insert into assetdock_private.webhook_deliveries (id, webhook_endpoint_id, event_type, occurred_at, data, state,"
            f" delivered_at, next_attempt_at) values ({old}, %s, 'asset.ready', now(), '{{}}', %s,"
            f" {delivered}, {following})",
            [hook["id"], state],
        )
    delete(database, asset_id)

    database.execute("select assetdock.run_maintenance()")

    assert [row[:2] for row in deliveries(database, hook)] == [("asset.ready", "pending"), ("asset.deleted", "pending")]


def test_a_deleted_endpoint_loses_its_deliveries_and_in_the_end_itself(
    hook: Json, asset_id: str, database: Database
) -> None:
    delete(database, asset_id)
    database.execute("update assetdock_app.webhook_endpoints set deleted_at = now() where id = %s", [hook["id"]])
    database.execute("select assetdock.run_maintenance()")
    assert deliveries(database, hook) == []
    assert (
        database.execute("select from assetdock_app.webhook_endpoints where id = %s", [hook["id"]]).fetchone()
        is not None
    )

    database.execute(
        "update assetdock_app.webhook_endpoints set deleted_at = now() - interval '31 days' where id = %s", [hook["id"]]
    )
    database.execute("select assetdock.run_maintenance()")

    assert (
        database.execute("select from assetdock_app.webhook_endpoints where id = %s", [hook["id"]]).fetchone() is None
    )


def test_the_endpoints_of_a_user_who_leaves_end_with_the_user(owner: Caller, hook: Json, database: Database) -> None:
    with database.transaction(force_rollback=True):
        database.execute("delete from auth.users where id = %s", [owner.owner_id])

        row = database.execute(
            "select e.deleted_at is not null, s.secret from assetdock_app.webhook_endpoints e"
            " left join assetdock_private.webhook_secrets s on s.webhook_endpoint_id = e.id where e.id = %s",
            [hook["id"]],
        ).fetchone()

    assert row == (True, None)
