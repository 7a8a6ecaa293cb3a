"""Attempts at a webhook delivery: their schedule, their payload and their leases."""

import psycopg
import pytest

from tests.callers import Json
from tests.catalogue import Database
from tests.database.queue import LEASE_EXPIRED
from tests.database.webhooks import call, delete, deliveries, lease_delivery

# Seconds before the second and each later attempt.
SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


@pytest.fixture
def deleted_id(endpoint: Json, reserved_id: str, database: Database) -> str:
    """The id of a deleted asset whose event has one pending delivery."""
    delete(database, reserved_id)
    return reserved_id


@pytest.mark.usefixtures("deleted_id")
def test_retries_follow_the_schedule_with_a_jitter_of_one_fifth_until_the_delivery_fails(
    endpoint: Json, database: Database
) -> None:
    for wait in SCHEDULE:
        job = lease_delivery(database)
        assert call(database, "record_delivery", job, 500, 12, "Answered 500.") == {"outcome": "retry"}
        row = database.execute(
            "select extract(epoch from j.available_at - now())::float, j.lease_token,"
            " d.next_attempt_at = j.available_at from assetdock_private.jobs j"
            " join assetdock_private.webhook_deliveries d on d.id = j.delivery_id where j.id = %s",
            [job["id"]],
        ).fetchone()
        assert row is not None
        assert wait <= row[0] <= wait * 1.2
        assert row[1:] == (None, True)
    outcome = call(database, "record_delivery", lease_delivery(database), None, 15000, "No answer.")

    assert outcome == {"outcome": "failed"}
    assert deliveries(database, endpoint) == [("asset.deleted", "failed", "deleted", 10)]
    open_jobs = "select count(*) from assetdock_private.jobs where kind = 'deliver' and finished_at is null"
    assert database.execute(open_jobs).fetchone() == (0,)


@pytest.mark.usefixtures("deleted_id")
def test_a_worker_with_an_expired_lease_can_neither_begin_nor_record_a_delivery(
    endpoint: Json, database: Database
) -> None:
    stale = lease_delivery(database)
    database.execute("update assetdock_private.jobs set available_at = now() where id = %s", [stale["id"]])

    for function, arguments in (("begin_delivery", ()), ("record_delivery", (200, 1, None))):
        with pytest.raises(psycopg.Error, match=LEASE_EXPIRED), database.transaction():
            call(database, function, stale, *arguments)

    assert deliveries(database, endpoint) == [("asset.deleted", "pending", "deleted", 0)]


def test_the_payload_stays_the_same_when_the_asset_changes_between_attempts(
    endpoint: Json, deleted_id: str, database: Database
) -> None:
    first = call(database, "begin_delivery", lease_delivery(database))
    database.execute("update assetdock_app.assets set filename = 'other' where id = %s", [deleted_id])

    second = call(database, "begin_delivery", lease_delivery(database))

    assert first == second
    assert first["secrets"] == [endpoint["secret"]]
    assert first["loopback"] is False


@pytest.mark.usefixtures("deleted_id")
def test_a_delivery_whose_leases_all_expired_is_dropped_and_fails(endpoint: Json, database: Database) -> None:
    job = lease_delivery(database)
    database.execute("update assetdock_private.jobs set attempts = 21 where id = %s", [job["id"]])

    assert call(database, "begin_delivery", job)["outcome"] == "dropped"

    assert deliveries(database, endpoint) == [("asset.deleted", "failed", "deleted", 0)]


@pytest.mark.usefixtures("deleted_id")
def test_a_delivery_cannot_be_postponed_like_a_probe(database: Database) -> None:
    job = lease_delivery(database)
    database.execute("update assetdock_private.settings set retry_window = '0' where singleton")

    with pytest.raises(psycopg.Error, match="record_delivery"), database.transaction():
        call(database, "retry_job", job, "no")

    assert call(database, "record_delivery", job, 500, 5)["outcome"] == "retry"
