"""The queue: leases, fences, retries, the end of patience."""

import threading
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from devstack.stack import Stack
from tests.callers import Caller
from tests.database.plans import executed_scans

Database = psycopg.Connection[Any]


@pytest.fixture
def asset_id(owner: Caller, database: Database) -> Iterator[str]:
    """An asset whose bytes landed in a database where no worker sees them: rolled back at the end."""
    reserved: str = owner.reserve()["asset"]["id"]
    with database.transaction(force_rollback=True):
        database.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'cancelled', lease_token = null"
            " where finished_at is null"
        )
        land(database, reserved)
        yield reserved


def land(database: Database, asset_id: str) -> None:
    database.execute(
        "insert into storage.objects (bucket_id, name, version, metadata) values ('assets', %s, gen_random_uuid(), %s)",
        [asset_id, Jsonb({"eTag": '"x"', "size": 4, "mimetype": "audio/wav"})],
    )


def lease(
    database: Database,
    worker: str = "w",
    *,
    max_jobs: int = 1,
    kinds: Sequence[str] = ("probe",),
    idle: bool = True,
) -> list[dict[str, Any]]:
    return lease_counting(database, worker, max_jobs, kinds, idle)[0]


def lease_counting(
    database: Database, worker: str, max_jobs: int, kinds: Sequence[str], idle: bool
) -> tuple[list[dict[str, Any]], int]:
    row = database.execute(
        "select assetdock.lease_jobs(%s, %s, 60, %s, %s)", [worker, max_jobs, list(kinds), idle]
    ).fetchone()
    assert row is not None
    return row[0]["jobs"], row[0]["exhausted"]


def state(database: Database, asset_id: str) -> Any:
    return database.execute("select state, error_code from assetdock_app.assets where id = %s", [asset_id]).fetchone()


def complete(database: Database, job: dict[str, Any]) -> None:
    database.execute("select assetdock.complete_probe(%s, %s, 1.5, 'audio/wav', '{}')", [job["id"], job["lease_token"]])


def test_a_job_is_leased_to_one_worker_at_a_time(database: Database, asset_id: str) -> None:
    mine = lease(database)

    assert [job["asset"]["id"] for job in mine] == [asset_id]
    assert lease(database, "another") == []


def test_a_finished_job_makes_the_asset_ready_once(database: Database, asset_id: str) -> None:
    [job] = lease(database)

    complete(database, job)

    assert state(database, asset_id) == ("ready", None)
    with pytest.raises(psycopg.Error, match="lease on this job has passed"), database.transaction():
        complete(database, job)


def test_a_worker_that_overslept_its_lease_can_change_nothing(database: Database, asset_id: str) -> None:
    [stale] = lease(database)
    database.execute(
        "update assetdock_private.jobs set available_at = now() - interval '1 s' where id = %s", [stale["id"]]
    )

    for call in ("complete_probe(%s, %s, 1, 'a/b', '{}')", "reject_probe(%s, %s, 'probe_crashed', '')",
                 "extend_lease(%s, %s, 60)", "retry_job(%s, %s, '')", "release_job(%s, %s)"):  # fmt: skip
        with pytest.raises(psycopg.Error, match="lease on this job has passed"), database.transaction():
            database.execute(f"select assetdock.{call}", [stale["id"], stale["lease_token"]])
    [fresh] = lease(database, "another")
    with pytest.raises(psycopg.Error, match="lease on this job has passed"), database.transaction():
        complete(database, stale)

    assert state(database, asset_id) == ("processing", None)
    assert (fresh["id"], fresh["attempt"]) == (stale["id"], 2)
    assert fresh["lease_token"] != stale["lease_token"]


@pytest.mark.usefixtures("paused_worker")
def test_a_released_job_keeps_its_place_before_those_that_came_later(database: Database, owner: Caller) -> None:
    first, second = (owner.reserve()["asset"]["id"] for _ in range(2))
    for asset_id in (first, second):
        land(database, asset_id)
    [job] = lease(database)
    assert job["asset"]["id"] == first

    database.execute("select assetdock.release_job(%s, %s)", [job["id"], job["lease_token"]])

    again = [*lease(database), *lease(database)]
    assert [each["asset"]["id"] for each in again] == [first, second]
    for each in again:
        complete(database, each)
    with database.transaction():
        database.execute("set local storage.allow_delete_query = 'true'")
        database.execute("delete from storage.objects where name = any(%s)", [[first, second]])


def test_a_released_job_is_there_at_once_and_counts_no_attempt(database: Database, asset_id: str) -> None:
    [job] = lease(database)

    database.execute("select assetdock.release_job(%s, %s)", [job["id"], job["lease_token"]])

    [again] = lease(database)
    assert (again["id"], again["attempt"]) == (job["id"], 1)


def postpone(database: Database, job: dict[str, Any]) -> Any:
    row = database.execute(
        "select assetdock.retry_job(%s, %s, 'storage is away')", [job["id"], job["lease_token"]]
    ).fetchone()
    assert row is not None
    return row[0]


def due(database: Database, job: dict[str, Any]) -> float:
    """Makes a job available; the seconds it would have had to wait."""
    row = database.execute(
        "update assetdock_private.jobs set available_at = now() where id = %s"
        " returning extract(epoch from (select available_at from assetdock_private.jobs where id = %s) - now())",
        [job["id"], job["id"]],
    ).fetchone()
    assert row is not None
    return float(row[0])


def test_a_postponed_job_waits_longer_each_time_and_costs_no_attempt(database: Database, asset_id: str) -> None:
    waits = []
    for attempt in range(1, 9):
        [job] = lease(database)
        assert job["attempt"] == attempt
        assert postpone(database, job) == {"outcome": "retry"}
        assert lease(database) == []
        waits.append(due(database, job))

    assert all(2.0**n <= wait <= 2.0 ** (n + 1) for n, wait in enumerate(waits[:7])), waits
    assert state(database, asset_id) == ("processing", None)
    assert database.execute(
        "select attempts, postponed, last_error from assetdock_private.jobs where asset_id = %s", [asset_id]
    ).fetchone() == (0, 8, "storage is away")


def test_a_job_postponed_for_longer_than_patience_is_given_up(database: Database, asset_id: str) -> None:
    [job] = lease(database)
    database.execute("update assetdock_private.settings set retry_window = '0' where singleton")

    assert postpone(database, job) == {"outcome": "dead"}

    assert state(database, asset_id) == ("failed", "probe_crashed")


def test_patience_begins_when_a_job_is_first_postponed_however_long_no_worker_was_there(
    database: Database, asset_id: str
) -> None:
    database.execute(
        "update assetdock_private.jobs set id = overlay(id::text placing '01900000-0000' from 1 for 13)::uuid"
        " where asset_id = %s",
        [asset_id],
    )
    [job] = lease(database)  # queued in 2024
    assert postpone(database, job) == {"outcome": "retry"}
    due(database, job)
    database.execute("update assetdock_private.jobs set first_postponed_at = first_postponed_at - interval '23 hours'")
    [job] = lease(database)
    assert postpone(database, job) == {"outcome": "retry"}
    due(database, job)
    database.execute("update assetdock_private.jobs set first_postponed_at = first_postponed_at - interval '1 hour'")
    [job] = lease(database)

    assert postpone(database, job) == {"outcome": "dead"}


def test_a_worker_is_given_only_the_kinds_it_knows_and_the_most_urgent_first(
    database: Database, asset_id: str, owner: Caller
) -> None:
    deleted = owner.reserve()["asset"]["id"]
    database.execute("select assetdock_private.delete_asset(%s, now() - interval '1 hour')", [deleted])

    assert lease(database, kinds=["purge_owner"]) == []
    assert [job["kind"] for job in lease(database, max_jobs=2, kinds=["probe", "purge"])] == ["probe", "purge"]


def test_a_job_whose_workers_all_died_is_given_up(database: Database, asset_id: str) -> None:
    for _ in range(5):
        [job] = lease(database)
        database.execute("update assetdock_private.jobs set available_at = now() where id = %s", [job["id"]])

    assert lease_counting(database, "w", 1, ["probe"], False) == ([], 1)
    assert state(database, asset_id) == ("failed", "probe_crashed")
    assert database.execute(
        "select outcome from assetdock_private.jobs where asset_id = %s", [asset_id]
    ).fetchone() == ("dead",)


def come_round(database: Database) -> None:
    """The leases that dead workers held end."""
    database.execute("update assetdock_private.jobs set available_at = now() where finished_at is null")


def test_a_file_that_kills_its_workers_fails_none_of_those_that_were_held_with_it(
    database: Database, asset_id: str, owner: Caller
) -> None:
    innocent = [owner.reserve()["asset"]["id"] for _ in range(3)]
    for other in innocent:
        land(database, other)
    alone, deaths = [], 0
    while jobs := lease(database, max_jobs=4):
        held = {job["asset"]["id"]: job for job in jobs}
        alone += [job["asset"]["id"] for job in jobs if job["exclusive"]]
        if asset_id in held:
            deaths += 1
            come_round(database)
        else:
            for job in jobs:
                complete(database, job)

    assert deaths == 5
    assert state(database, asset_id) == ("failed", "probe_crashed")
    assert [state(database, other) for other in innocent] == [("ready", None)] * 3
    assert sorted(alone) == sorted([asset_id] * 3 + innocent)


def test_a_suspect_comes_alone_to_an_empty_handed_worker_and_holds_the_others_back_until_then(
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
    [suspect] = lease(database, max_jobs=4, kinds=kinds)
    assert (suspect["asset"]["id"], suspect["exclusive"]) == (asset_id, True)
    others = lease(database, max_jobs=4, kinds=kinds, idle=False)
    assert [(job["kind"], job["exclusive"]) for job in others] == [("probe", False), ("purge", False)]


def test_the_last_attempt_is_made_alone_however_few_there_are(database: Database, asset_id: str) -> None:
    database.execute("update assetdock_private.settings set max_attempts = 1 where singleton")

    assert lease(database, idle=False) == []
    assert [job["exclusive"] for job in lease(database)] == [True]


def test_an_asset_deleted_meanwhile_stays_deleted_and_its_worker_finds_the_lease_gone(
    database: Database, asset_id: str
) -> None:
    [job] = lease(database)
    database.execute("select assetdock_private.delete_asset(%s, now() + interval '1 day')", [asset_id])

    with pytest.raises(psycopg.Error, match="lease on this job has passed"), database.transaction():
        complete(database, job)

    assert state(database, asset_id) == ("deleted", None)


def test_an_unknown_job_is_a_lost_lease(database: Database, asset_id: str) -> None:
    with pytest.raises(psycopg.Error, match="lease on this job has passed"):
        complete(database, {"id": str(uuid.uuid4()), "lease_token": str(uuid.uuid4())})


@pytest.mark.usefixtures("paused_worker")
def test_many_workers_at_once_never_share_a_job(stack: Stack, owner: Caller, database: Database) -> None:
    reserved = [owner.reserve()["asset"]["id"] for _ in range(20)]
    taken: list[str] = []
    barrier = threading.Barrier(4)

    def work() -> None:
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            barrier.wait()
            while jobs := lease(connection, uuid.uuid4().hex, max_jobs=3):
                for job in jobs:
                    taken.append(job["asset"]["id"])
                    complete(connection, job)

    for asset_id in reserved:
        land(database, asset_id)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken))
    assert set(taken) >= set(reserved)  # and what other tests left behind, whose leases ended meanwhile
    with database.transaction():
        database.execute("set local storage.allow_delete_query = 'true'")
        database.execute("delete from storage.objects where name = any(%s)", [reserved])


def test_a_lease_is_good_for_its_own_kind_of_work_only(database: Database, asset_id: str) -> None:
    database.execute("select assetdock_private.delete_asset(%s, now())", [asset_id])
    [purge] = lease(database, kinds=["purge"])

    for call in ("complete_probe(%s, %s, 1, 'a/b', '{}')", "reject_probe(%s, %s, 'probe_crashed', '')",
                 "purge_owner_batch(%s, %s)"):  # fmt: skip
        with pytest.raises(psycopg.Error, match="lease on this job has passed"), database.transaction():
            database.execute(f"select assetdock.{call}", [purge["id"], purge["lease_token"]])
    open_jobs = "select count(*) from assetdock_private.jobs where asset_id = %s and finished_at is null"
    assert database.execute(open_jobs, [asset_id]).fetchone() == (1,)


def test_what_ended_long_ago_is_forgotten_and_nothing_else(database: Database, owner: Caller, stranger: Caller) -> None:
    old, young, pending = (owner.reserve()["asset"]["id"] for _ in range(3))
    dead_key, live_key = owner.mint_key()["id"], owner.mint_key()["id"]
    with database.transaction(force_rollback=True):
        database.execute("update assetdock_app.assets set state = 'expired' where id = any(%s)", [[old, young]])
        database.execute(
            "update assetdock_app.assets set upload_expires_at = now() - interval '91 days',"
            " finish_by = now() - interval '91 days' where id = %s",
            [old],
        )
        database.execute(
            "update assetdock_app.api_keys set revoked_at = now() - interval '91 days' where id = %s", [dead_key]
        )

        database.execute("select assetdock.run_maintenance()")

        left = database.execute(
            "select id::text from assetdock_app.assets where owner_id = %s", [owner.owner_id]
        ).fetchall()
        keys = database.execute(
            "select id::text from assetdock_app.api_keys where owner_id = %s", [owner.owner_id]
        ).fetchall()
    assert {row[0] for row in left} == {young, pending}
    assert keys == [(live_key,)]


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


def test_what_housekeeping_expired_is_named_and_no_more_of_it_than_asked_for(database: Database, owner: Caller) -> None:
    over = [owner.reserve()["asset"]["id"] for _ in range(3)]
    with database.transaction(force_rollback=True):
        database.execute("select assetdock.run_maintenance(1000)")  # what other tests left
        database.execute(
            "update assetdock_app.assets set upload_expires_at = '2020-01-01', finish_by = '2020-01-01' where id = any(%s)",
            [over],
        )

        answers = [database.execute("select assetdock.run_maintenance(2) -> 'expired'").fetchone() for _ in range(2)]

    assert [len(answer[0]) for answer in answers if answer] == [2, 1]
    assert sorted(asset_id for answer in answers if answer for asset_id in answer[0]) == sorted(over)


def test_a_user_whom_auth_deletes_softly_is_gone_all_the_same(database: Database, owner: Caller) -> None:
    with database.transaction(force_rollback=True):
        database.execute("update auth.users set deleted_at = now() where id = %s", [owner.owner_id])

        jobs = database.execute(
            "select kind from assetdock_private.jobs where owner_id = %s", [owner.owner_id]
        ).fetchall()

    assert jobs == [("purge_owner",)]
