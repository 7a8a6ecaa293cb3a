"""Attempts and postponements of jobs, and the isolation of probes that may crash workers."""

import pytest

from tests.attacks import Record
from tests.callers import Caller
from tests.catalogue import Database
from tests.database.queue import (
    complete,
    expire_leases,
    land,
    lease,
    lease_counting,
    make_available,
    postpone,
    state,
)


def test_a_postponed_job_waits_longer_each_time_and_costs_no_attempt(database: Database, asset_id: str) -> None:
    waits = []
    for attempt in range(1, 9):
        [job] = lease(database)
        assert job["attempt"] == attempt
        assert postpone(database, job) == {"outcome": "retry"}
        assert lease(database) == []
        waits.append(make_available(database, job))

    assert all(2.0**n <= wait <= 2.0 ** (n + 1) for n, wait in enumerate(waits[:7])), waits
    assert state(database, asset_id) == ("processing", None)
    assert database.execute(
        "select attempts, postponed, last_error from assetdock_private.jobs where asset_id = %s", [asset_id]
    ).fetchone() == (0, 8, "storage is away")


def test_a_lease_whose_response_is_lost_costs_no_attempt(database: Database, asset_id: str, attack: Record) -> None:
    for _ in range(10):
        assert len(lease(database, begins=False)) == 1
        expire_leases(database)
    attempts = database.execute(
        "select attempts from assetdock_private.jobs where asset_id = %s", [asset_id]
    ).fetchone()
    [job] = lease(database)
    complete(database, job)

    attack(
        "8 ten lost responses to lease_jobs: a healthy file",
        before="failed, probe_crashed after five",
        now=str(state(database, asset_id)[0]),
        bound="ready",
    )
    assert attempts == (0,)
    assert state(database, asset_id) == ("ready", None)


def test_work_that_began_twice_under_one_lease_costs_one_attempt(database: Database, asset_id: str) -> None:
    [job] = lease(database)
    database.execute("select assetdock.begin_probe(%s, %s)", [job["id"], job["lease_token"]])

    assert database.execute(
        "select attempts from assetdock_private.jobs where asset_id = %s", [asset_id]
    ).fetchone() == (1,)


def test_a_probe_postponed_for_longer_than_the_retry_window_is_dead(database: Database, asset_id: str) -> None:
    [job] = lease(database)
    database.execute("update assetdock_private.settings set retry_window = '0' where singleton")

    assert postpone(database, job) == {"outcome": "dead"}

    assert state(database, asset_id) == ("failed", "probe_crashed")


def test_the_retry_window_begins_with_the_first_postponement_and_not_when_the_job_was_queued(
    database: Database, asset_id: str
) -> None:
    queued_in_2024 = "overlay(id::text placing '01900000-0000' from 1 for 13)::uuid"
    database.execute(f"update assetdock_private.jobs set id = {queued_in_2024} where asset_id = %s", [asset_id])
    outcomes = []

    for later in ("23 hours", "1 hour", "0"):
        [job] = lease(database)
        outcomes.append(postpone(database, job))
        make_available(database, job)
        database.execute(
            "update assetdock_private.jobs set first_postponed_at = first_postponed_at - %s::interval", [later]
        )

    assert outcomes == [{"outcome": "retry"}, {"outcome": "retry"}, {"outcome": "dead"}]


def test_a_probe_whose_leases_all_expired_is_dead_after_its_last_attempt(database: Database, asset_id: str) -> None:
    for _ in range(5):
        [job] = lease(database)
        database.execute("update assetdock_private.jobs set available_at = now() where id = %s", [job["id"]])

    assert lease_counting(database, "w", 1, ["probe"], False) == ([], 1)
    assert state(database, asset_id) == ("failed", "probe_crashed")
    assert database.execute(
        "select outcome from assetdock_private.jobs where asset_id = %s", [asset_id]
    ).fetchone() == ("dead",)


def test_a_file_that_crashes_its_workers_fails_no_other_asset(database: Database, asset_id: str, owner: Caller) -> None:
    harmless = [owner.reserve()["asset"]["id"] for _ in range(3)]
    for other in harmless:
        land(database, other)
    exclusive, crashes = [], 0

    while jobs := lease(database, max_jobs=4):
        leased = {job["asset"]["id"]: job for job in jobs}
        exclusive += [job["asset"]["id"] for job in jobs if job["exclusive"]]
        if asset_id in leased:
            crashes += 1
            expire_leases(database)
        else:
            for job in jobs:
                complete(database, job)

    assert crashes == 5
    assert state(database, asset_id) == ("failed", "probe_crashed")
    assert [state(database, other) for other in harmless] == [("ready", None)] * 3
    assert sorted(exclusive) == sorted([asset_id] * 3 + harmless)


def test_a_probe_to_isolate_waits_for_an_idle_worker_and_holds_back_other_jobs_until_then(
    database: Database, asset_id: str, owner: Caller
) -> None:
    database.execute(
        "update assetdock_private.jobs set attempts = 2, available_at = now() - interval '1 s' where asset_id = %s",
        [asset_id],
    )
    later = owner.reserve()["asset"]["id"]
    land(database, later)
    database.execute("select assetdock_private.delete_asset(%s, now())", [owner.reserve()["asset"]["id"]])
    kinds = ["probe", "purge"]

    assert lease(database, max_jobs=4, kinds=kinds, idle=False) == []
    [isolated] = lease(database, max_jobs=4, kinds=kinds)
    assert (isolated["asset"]["id"], isolated["exclusive"]) == (asset_id, True)
    others = lease(database, max_jobs=4, kinds=kinds, idle=False)
    assert [(job["kind"], job["exclusive"]) for job in others] == [("probe", False), ("purge", False)]


@pytest.mark.usefixtures("asset_id")
def test_the_last_attempt_is_exclusive_even_if_it_is_the_only_one(database: Database) -> None:
    database.execute("update assetdock_private.settings set max_attempts = 1 where singleton")

    assert lease(database, idle=False) == []
    assert [job["exclusive"] for job in lease(database)] == [True]


@pytest.mark.usefixtures("endpoint")
def test_no_delivery_is_leased_beside_an_exclusive_probe(database: Database, asset_id: str, owner: Caller) -> None:
    database.execute("update assetdock_private.jobs set attempts = 2 where asset_id = %s", [asset_id])
    database.execute("select assetdock_private.delete_asset(%s, now())", [owner.reserve()["asset"]["id"]])
    database.execute(
        "update assetdock_private.jobs set available_at = now() where kind = 'deliver' and finished_at is null"
    )

    together = lease(database, max_jobs=4, kinds=["probe", "deliver"])
    alone = lease(database, max_jobs=4, kinds=["deliver"])

    assert [(job["kind"], job["exclusive"]) for job in together] == [("probe", True)]
    assert {job["kind"] for job in alone} == {"deliver"}


def test_repairing_a_failing_purge_takes_no_live_lease(database: Database, reserved_id: str) -> None:
    database.execute("select assetdock_private.delete_asset(%s, now())", [reserved_id])
    [job] = lease(database, kinds=["purge"])
    database.execute("update assetdock_private.jobs set attempts = 9 where id = %s", [job["id"]])
    repair = "select assetdock.repair_discrepancy('purge_failing', %s)"
    read = "select lease_token::text, attempts from assetdock_private.jobs where id = %s"

    database.execute(repair, [job["id"]])
    while_leased = database.execute(read, [job["id"]]).fetchone()
    expire_leases(database)
    database.execute(repair, [job["id"]])
    afterwards = database.execute(read, [job["id"]]).fetchone()

    assert while_leased == (job["lease_token"], 9)
    assert afterwards == (None, 0)
