"""Leases of jobs: one worker at a time, and no change by a worker whose lease expired."""

import threading
import uuid

import psycopg
import pytest

from devstack.stack import Stack
from tests.callers import Caller
from tests.catalogue import Database
from tests.database.queue import LEASE_EXPIRED, complete, land, lease, state


def delete_objects(database: Database, names: list[str]) -> None:
    with database.transaction():
        database.execute("set local session_replication_role = 'replica'")  # without triggers
        database.execute("delete from storage.objects where name = any(%s)", [names])


def test_a_job_is_leased_to_one_worker_at_a_time(database: Database, asset_id: str) -> None:
    leased = lease(database)

    assert [job["asset"]["id"] for job in leased] == [asset_id]
    assert lease(database, "another") == []


def test_a_job_is_completed_only_once(database: Database, asset_id: str) -> None:
    [job] = lease(database)

    complete(database, job)

    assert state(database, asset_id) == ("ready", None)
    with pytest.raises(psycopg.Error, match=LEASE_EXPIRED), database.transaction():
        complete(database, job)


def test_a_worker_with_an_expired_lease_changes_nothing(database: Database, asset_id: str) -> None:
    [stale] = lease(database)
    database.execute(
        "update assetdock_private.jobs set available_at = now() - interval '1 s' where id = %s", [stale["id"]]
    )

    for call in ("complete_probe(%s, %s, 1, 'a/b', '{}')", "reject_probe(%s, %s, 'probe_crashed', '')",
                 "extend_lease(%s, %s, 60)", "retry_job(%s, %s, '')", "release_job(%s, %s)"):  # fmt: skip
        with pytest.raises(psycopg.Error, match=LEASE_EXPIRED), database.transaction():
            database.execute(f"select assetdock.{call}", [stale["id"], stale["lease_token"]])
    [fresh] = lease(database, "another")
    with pytest.raises(psycopg.Error, match=LEASE_EXPIRED), database.transaction():
        complete(database, stale)

    assert state(database, asset_id) == ("processing", None)
    assert (fresh["id"], fresh["attempt"]) == (stale["id"], 2)
    assert fresh["lease_token"] != stale["lease_token"]


@pytest.mark.usefixtures("paused_worker")
def test_a_released_job_keeps_its_place_in_the_queue(database: Database, owner: Caller) -> None:
    first, second = (owner.reserve()["asset"]["id"] for _ in range(2))
    for asset_id in (first, second):
        land(database, asset_id)
    [job] = lease(database)
    assert job["asset"]["id"] == first

    database.execute("select assetdock.release_job(%s, %s)", [job["id"], job["lease_token"]])

    leased = [*lease(database), *lease(database)]
    assert [each["asset"]["id"] for each in leased] == [first, second]
    for each in leased:
        complete(database, each)
    delete_objects(database, [first, second])


def test_a_released_job_is_available_at_once_and_costs_no_attempt(database: Database, asset_id: str) -> None:
    [job] = lease(database)

    database.execute("select assetdock.release_job(%s, %s)", [job["id"], job["lease_token"]])

    [leased] = lease(database)
    assert (leased["id"], leased["attempt"]) == (job["id"], 1)


def test_a_worker_gets_only_the_kinds_it_names_in_their_order(database: Database, asset_id: str, owner: Caller) -> None:
    deleted = owner.reserve()["asset"]["id"]
    database.execute("select assetdock_private.delete_asset(%s, now() - interval '1 hour')", [deleted])

    assert lease(database, kinds=["purge_owner"]) == []
    assert [job["kind"] for job in lease(database, max_jobs=2, kinds=["probe", "purge"])] == ["probe", "purge"]


def test_a_worker_loses_the_lease_when_the_asset_is_deleted(database: Database, asset_id: str) -> None:
    [job] = lease(database)
    database.execute("select assetdock_private.delete_asset(%s, now() + interval '1 day')", [asset_id])

    with pytest.raises(psycopg.Error, match=LEASE_EXPIRED), database.transaction():
        complete(database, job)

    assert state(database, asset_id) == ("deleted", None)


@pytest.mark.usefixtures("asset_id")
def test_a_call_about_an_unknown_job_fails_like_an_expired_lease(database: Database) -> None:
    with pytest.raises(psycopg.Error, match=LEASE_EXPIRED):
        complete(database, {"id": str(uuid.uuid4()), "lease_token": str(uuid.uuid4())})


def test_a_lease_allows_only_calls_for_its_kind_of_job(database: Database, asset_id: str) -> None:
    database.execute("select assetdock_private.delete_asset(%s, now())", [asset_id])
    [purge] = lease(database, kinds=["purge"])

    for call in ("complete_probe(%s, %s, 1, 'a/b', '{}')", "reject_probe(%s, %s, 'probe_crashed', '')",
                 "purge_owner_batch(%s, %s)"):  # fmt: skip
        with pytest.raises(psycopg.Error, match=LEASE_EXPIRED), database.transaction():
            database.execute(f"select assetdock.{call}", [purge["id"], purge["lease_token"]])
    open_jobs = "select count(*) from assetdock_private.jobs where asset_id = %s and finished_at is null"
    assert database.execute(open_jobs, [asset_id]).fetchone() == (1,)


@pytest.mark.usefixtures("paused_worker")
def test_concurrent_workers_never_lease_the_same_job(stack: Stack, owner: Caller, database: Database) -> None:
    reserved = [owner.reserve()["asset"]["id"] for _ in range(20)]
    leased: list[str] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            barrier.wait()
            while jobs := lease(connection, uuid.uuid4().hex, max_jobs=3):
                for job in jobs:
                    leased.append(job["asset"]["id"])
                    complete(connection, job)

    for asset_id in reserved:
        land(database, asset_id)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(leased) == len(set(leased))
    assert set(leased) >= set(reserved)  # the leases of other tests may expire meanwhile
    delete_objects(database, reserved)
