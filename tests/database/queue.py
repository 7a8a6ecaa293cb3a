"""The calls of a worker to the queue, for tests that play the worker."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.json import Jsonb

from tests.catalogue import Database

Job = dict[str, Any]
LEASE_EXPIRED = "lease on this job has passed"


def land(database: Database, asset_id: str) -> None:
    """Inserts the row of an uploaded object, as Storage does."""
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
    begins: bool = True,
) -> list[Job]:
    """Leases jobs for 60 seconds and begins to work on the probes among them, unless `begins` is false."""
    jobs = lease_counting(database, worker, max_jobs, kinds, idle)[0]
    for job in jobs if begins else ():
        if job["kind"] == "probe":
            database.execute("select assetdock.begin_probe(%s, %s)", [job["id"], job["lease_token"]])
    return jobs


def lease_counting(
    database: Database, worker: str, max_jobs: int, kinds: Sequence[str], idle: bool
) -> tuple[list[Job], int]:
    """Leases jobs and returns with them how many exhausted probes failed."""
    row = database.execute(
        "select assetdock.lease_jobs(%s, %s, 60, %s, %s)", [worker, max_jobs, list(kinds), idle]
    ).fetchone()
    assert row is not None
    return row[0]["jobs"], row[0]["exhausted"]


def complete(database: Database, job: Job) -> None:
    database.execute("select assetdock.complete_probe(%s, %s, 1.5, 'audio/wav', '{}')", [job["id"], job["lease_token"]])


def postpone(database: Database, job: Job) -> Any:
    row = database.execute(
        "select assetdock.retry_job(%s, %s, 'storage is away')", [job["id"], job["lease_token"]]
    ).fetchone()
    assert row is not None
    return row[0]


def make_available(database: Database, job: Job) -> float:
    """Makes a job available now. Returns the seconds that it would have had to wait."""
    row = database.execute(
        "update assetdock_private.jobs set available_at = now() where id = %s"
        " returning extract(epoch from (select available_at from assetdock_private.jobs where id = %s) - now())",
        [job["id"], job["id"]],
    ).fetchone()
    assert row is not None
    return float(row[0])


def expire_leases(database: Database) -> None:
    database.execute("update assetdock_private.jobs set available_at = now() where finished_at is null")


def state(database: Database, asset_id: str) -> Any:
    """The state and the error_code of an asset."""
    return database.execute("select state, error_code from assetdock_app.assets where id = %s", [asset_id]).fetchone()
