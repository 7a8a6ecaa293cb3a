"""Calls the SQL functions of the role assetdock_worker. Each method has the name of its function."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter

from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.results import PONG
from assetdock_server.media.verdict import AssetType, Failed, Ready
from assetdock_server.webhooks.sending import Attempt
from assetdock_server.worker.results import (
    DELIVERY,
    LEASE,
    MAINTAINED,
    OBJECT,
    OUTCOME,
    PURGED_OBJECT,
    Delivery,
    DroppedDelivery,
    JobRow,
)

T = TypeVar("T")


@dataclass(frozen=True)
class LeasedAsset:
    """The asset of a job."""

    id: str
    type: AssetType
    declared_content_type: str | None
    size_bytes: int | None
    sha256: str | None  # 64 lower-case hexadecimal digits, if the reservation has a checksum


@dataclass(frozen=True)
class Job:
    """A leased job. The database rejects every call with the `lease_token` of an expired lease."""

    id: str
    kind: str
    attempt: int
    lease_token: str = field(repr=False)
    owner_id: str | None
    asset: LeasedAsset | None
    exclusive: bool  # it may have crashed workers, so a worker must run it alone

    @classmethod
    def read(cls, row: JobRow) -> "Job":
        """Reads one row of the result of assetdock.lease_jobs."""
        asset = row["asset"]
        return cls(
            id=row["id"],
            kind=row["kind"],
            attempt=row["attempt"],
            lease_token=row["lease_token"],
            owner_id=row["owner_id"],
            exclusive=row["exclusive"],
            asset=asset
            and LeasedAsset(
                id=asset["id"],
                type=asset["type"],
                declared_content_type=asset["declared_content_type"],
                size_bytes=asset["size_bytes"],
                sha256=asset["reserved_sha256"],
            ),
        )

    def require_asset(self) -> LeasedAsset:
        """The asset of a job whose kind always has one."""
        if self.asset is None:
            raise ValueError(f"a job of kind {self.kind} has no asset")
        return self.asset


class Queue:
    """The job queue. ApiError `conflict` means that this worker no longer holds the lease."""

    def __init__(self, postgrest: Postgrest, *, token: str, worker: str, lease_seconds: int) -> None:
        self._postgrest = postgrest
        self.token = token
        self._worker = worker
        self.lease_seconds = lease_seconds

    async def lease_jobs(self, max_jobs: int, kinds: Sequence[str], *, idle: bool) -> tuple[list[Job], int]:
        """Leases up to `max_jobs` jobs, in the order of `kinds`. Also returns how many probes the call gave up because
        their leases kept expiring without a result. An `exclusive` job goes only to an `idle` worker, which holds no
        job of these kinds."""
        response = await self._call(
            "lease_jobs",
            {
                "worker": self._worker,
                "max_jobs": max_jobs,
                "lease_seconds": self.lease_seconds,
                "kinds": list(kinds),
                "idle": idle,
            },
            LEASE,
        )
        return [Job.read(row) for row in response["jobs"]], response["exhausted"]

    async def extend_lease(self, job: Job) -> None:
        """Renews the lease: it expires `lease_seconds` from now."""
        await self._call_for(job, "extend_lease", {"lease_seconds": self.lease_seconds}, OBJECT)

    async def begin_probe(self, job: Job) -> None:
        """Records that the file is about to be read. Only then does a lease that expires cost an attempt."""
        await self._call_for(job, "begin_probe", {}, OBJECT)

    async def complete_probe(self, job: Job, verdict: Ready) -> None:
        """Makes the asset ready."""
        await self._call_for(
            job,
            "complete_probe",
            {
                "duration_seconds": str(verdict.duration),
                "content_type": verdict.content_type,
                "media": verdict.media,
            },
            OBJECT,
        )

    async def reject_probe(self, job: Job, verdict: Failed) -> None:
        """Makes the asset failed."""
        arguments = {"error_code": verdict.code, "error_message": verdict.message}
        await self._call_for(job, "reject_probe", arguments, OBJECT)

    async def begin_purge(self, job: Job) -> str:
        """Makes the purge final: the asset can no longer be restored. Returns the name of the object to delete."""
        return (await self._call_for(job, "begin_purge", {}, PURGED_OBJECT))["object_name"]

    async def complete_purge(self, job: Job) -> None:
        """Records that the bytes are gone, and frees their quota."""
        await self._call_for(job, "complete_purge", {}, OBJECT)

    async def purge_owner_batch(self, job: Job) -> str:
        """Deletes the next assets of a deleted user. Returns `done`, or `more` when the job is back in the queue."""
        return (await self._call_for(job, "purge_owner_batch", {}, OUTCOME))["outcome"]

    async def retry_job(self, job: Job, reason: str) -> str:
        """Schedules a retry. Returns `retry`, or `dead` after the last attempt."""
        return (await self._call_for(job, "retry_job", {"reason": reason}, OUTCOME))["outcome"]

    async def begin_delivery(self, job: Job) -> Delivery | DroppedDelivery:
        """What to send, and where."""
        return await self._call_for(job, "begin_delivery", {}, DELIVERY)

    async def record_delivery(self, job: Job, attempt: Attempt) -> str:
        """Records an attempt. Returns `delivered`, `retry` or `failed`."""
        arguments = {
            "response_status": attempt.status,
            "duration_ms": attempt.duration_ms,
            "error": attempt.error,
        }
        return (await self._call_for(job, "record_delivery", arguments, OUTCOME))["outcome"]

    async def release_job(self, job: Job) -> None:
        """Gives the job back. The attempt is not counted."""
        await self._call_for(job, "release_job", {}, OBJECT)

    async def run_maintenance(self) -> list[str]:
        """Expires reservations and prunes old rows. Returns the ids of the expired assets, a few hundred at most."""
        return (await self._call("run_maintenance", {}, MAINTAINED))["expired"]

    async def ping(self) -> None:
        """Returns if the database responds and accepts the worker's token."""
        await self._call("ping", {}, PONG)

    async def _call_for(self, job: Job, function: str, arguments: dict[str, Any], result: TypeAdapter[T]) -> T:
        return await self._call(function, {"job_id": job.id, "lease_token": job.lease_token, **arguments}, result)

    async def _call(self, function: str, arguments: dict[str, Any], result: TypeAdapter[T]) -> T:
        return await self._postgrest.call_directly(function, arguments, result, token=self.token)
