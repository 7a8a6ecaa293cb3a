"""The queue as the worker sees it: the functions of the role assetdock_worker, under the same names."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.media.verdict import AssetType, Failed, Ready
from assetdock_server.webhooks.sending import Attempt


@dataclass(frozen=True)
class LeasedAsset:
    """The asset a job is about."""

    id: str
    type: AssetType
    content_type: str | None
    size_bytes: int | None
    sha256: str | None  # 64 lower-case hexadecimal digits, when the reservation named one


@dataclass(frozen=True)
class Job:
    """A leased job. `lease_token` fences it: once the lease has passed, every call about the job is refused."""

    id: str
    kind: str
    attempt: int
    lease_token: str = field(repr=False)
    owner_id: str | None
    subject: LeasedAsset | None
    exclusive: bool  # it may have crashed workers: its holder must hold no other job

    @classmethod
    def read(cls, row: dict[str, Any]) -> "Job":
        """From one row of what assetdock.lease_jobs returns."""
        asset = row["asset"]
        return cls(
            id=row["id"],
            kind=row["kind"],
            attempt=row["attempt"],
            lease_token=row["lease_token"],
            owner_id=row["owner_id"],
            exclusive=row["exclusive"],
            subject=asset
            and LeasedAsset(
                id=asset["id"],
                type=asset["type"],
                content_type=asset["content_type"],
                size_bytes=asset["size_bytes"],
                sha256=asset["reserved_sha256"],
            ),
        )

    @property
    def asset(self) -> LeasedAsset:
        """The asset, for kinds that always have one."""
        if self.subject is None:
            raise ValueError(f"a job of kind {self.kind} without an asset")
        return self.subject


class Queue:
    """Calls about jobs. `conflict` (ApiError) means that the lease has passed to someone else."""

    def __init__(self, postgrest: Postgrest, *, token: str, worker: str, lease_seconds: int) -> None:
        self._postgrest = postgrest
        self._token = token
        self._worker = worker
        self.lease_seconds = lease_seconds

    async def lease_jobs(self, max_jobs: int, kinds: Sequence[str], *, idle: bool) -> tuple[list[Job], int]:
        """Up to `max_jobs` jobs of these kinds, the first kind first, for this worker alone until their lease ends; and
        how many probes the call gave up because all who held them died. Only who is `idle`, holding no job of
        these kinds, is given a job that is `exclusive`."""
        answer = await self._call(
            "lease_jobs",
            {
                "worker": self._worker,
                "max_jobs": max_jobs,
                "lease_seconds": self.lease_seconds,
                "kinds": list(kinds),
                "idle": idle,
            },
        )
        return [Job.read(row) for row in answer["jobs"]], int(answer["exhausted"])

    async def extend_lease(self, job: Job) -> None:
        """Keeps a job for another lease from now."""
        await self._about(job, "extend_lease", {"lease_seconds": self.lease_seconds})

    async def complete_probe(self, job: Job, verdict: Ready, content_type: str) -> None:
        """The asset becomes ready."""
        await self._about(
            job,
            "complete_probe",
            {"duration_seconds": str(verdict.duration), "content_type": content_type, "media": verdict.media},
        )

    async def reject_probe(self, job: Job, verdict: Failed) -> None:
        """The asset becomes failed."""
        await self._about(job, "reject_probe", {"error_code": verdict.code, "error_message": verdict.message})

    async def begin_purge(self, job: Job) -> str:
        """There is no way back for the asset from here on; the name of the object to delete."""
        answer = await self._about(job, "begin_purge", {})
        return str(answer["object_name"])

    async def complete_purge(self, job: Job) -> None:
        """The bytes count no longer."""
        await self._about(job, "complete_purge", {})

    async def purge_owner_batch(self, job: Job) -> str:
        """Deletes the next assets of an owner who left: `more`, when the job is back in the queue, or `done`."""
        answer = await self._about(job, "purge_owner_batch", {})
        return str(answer["outcome"])

    async def retry_job(self, job: Job, reason: str) -> str:
        """Tried again later (`retry`), or given up (`dead`)."""
        answer = await self._about(job, "retry_job", {"reason": reason})
        return str(answer["outcome"])

    async def begin_delivery(self, job: Job) -> dict[str, Any]:
        """`{outcome: "send", delivery_id, webhook_endpoint_id, url, body, secrets, loopback}`, or
        `{outcome: "dropped", delivery_id}`."""
        answer: dict[str, Any] = await self._about(job, "begin_delivery", {})
        return answer

    async def record_delivery(self, job: Job, attempt: Attempt) -> str:
        """`delivered`, `retry` or `failed`."""
        arguments = {
            "response_status": attempt.status,
            "duration_ms": attempt.duration_ms,
            "error": attempt.error,
        }
        answer = await self._about(job, "record_delivery", arguments)
        return str(answer["outcome"])

    async def release_job(self, job: Job) -> None:
        """Given back untried."""
        await self._about(job, "release_job", {})

    async def run_maintenance(self) -> list[str]:
        """Expires what is over and forgets what is old; the ids of the assets that expired, a few hundred at most."""
        answer = await self._call("run_maintenance", {})
        return [str(asset_id) for asset_id in answer["expired"]]

    async def _about(self, job: Job, function: str, arguments: dict[str, Any]) -> Any:
        return await self._call(function, {"job_id": job.id, "lease_token": job.lease_token, **arguments})

    async def _call(self, function: str, arguments: dict[str, Any]) -> Any:
        return await self._postgrest.call_directly(function, arguments, token=self._token)
