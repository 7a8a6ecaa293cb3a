"""The outcome of probe jobs that cannot run, and the range reads of a probe."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.media.mp3 import duration as mp3
from assetdock_server.media.report import ReadFailure
from assetdock_server.worker import counters
from assetdock_server.worker.probing import ProbeHandler
from assetdock_server.worker.queue import Job, LeasedAsset
from tests.worker.storage import Storage

ASSET = LeasedAsset(id="a", type="audio", declared_content_type=None, size_bytes=1, sha256=None)
JOB = Job(id="j", kind="probe", attempt=1, lease_token="t", owner_id=None, asset=ASSET, exclusive=False)


class StorageDown:
    """A Storage that is down."""

    async def sign_download(self, *_: object) -> None:
        raise ApiError("upstream_unavailable")


class RetryingQueue:
    """A queue that responds to each retry with the given outcome."""

    def __init__(self, outcome: str) -> None:
        self._outcome = outcome

    async def retry_job(self, _job: Job, _reason: str) -> str:
        return self._outcome


@pytest.mark.parametrize(("retry_outcome", "expected", "failures"), [("retry", "postponed", 0), ("dead", "dead", 1)])
def test_counts_a_dead_probe_as_a_failed_asset_but_not_a_postponed_one(
    retry_outcome: str, expected: str, failures: int
) -> None:
    handler = ProbeHandler(
        queue=cast(Any, RetryingQueue(retry_outcome)),
        storage=cast(Any, StorageDown()),
        pool=cast(Any, None),
        token="t",
        ffprobe=cast(Any, None),
        limits=cast(Any, None),
        slots=asyncio.Semaphore(1),
    )
    before = _crash_count()

    assert asyncio.run(handler.work(JOB)) == expected

    assert _crash_count() - before == failures


class SigningStorage:
    """A Storage that signs URLs."""

    async def sign_download(self, *_: object) -> Any:
        return SimpleNamespace(url="http://127.0.0.1:9/never-requested")


class ReleasingQueue:
    """A queue that records released jobs."""

    def __init__(self) -> None:
        self.released: list[str] = []

    async def release_job(self, job: Job) -> None:
        self.released.append(job.id)


def test_releases_a_job_when_no_slot_becomes_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assetdock_server.worker.probing.MAX_SLOT_WAIT", 0.05)
    queue = ReleasingQueue()

    async def work_without_a_free_slot() -> str:
        slots = asyncio.Semaphore(1)
        handler = ProbeHandler(
            queue=cast(Any, queue),
            storage=cast(Any, SigningStorage()),
            pool=cast(Any, None),
            token="t",
            ffprobe=cast(Any, None),
            limits=cast(Any, None),
            slots=slots,
        )
        async with slots:
            outcome = await handler.work(JOB)
        assert not slots.locked()
        return outcome

    assert asyncio.run(work_without_a_free_slot()) == "released"

    assert queue.released == ["j"]


def test_a_probe_can_read_ranges_of_its_file(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    (storage.folder / "file").write_bytes(b"0123456789")
    ranges: list[bytes] = []

    async def probe(_url: str, *, read_range: mp3.ReadRange, **_: object) -> ReadFailure:
        ranges.append(await read_range(3, 4))
        return ReadFailure("unreadable")

    class FileStorage:
        async def sign_download(self, *_: object) -> Any:
            return SimpleNamespace(url=storage.url("file"))

    class AcceptingQueue:
        async def begin_probe(self, *_: object) -> None:
            """Accepts the beginning."""

        async def reject_probe(self, *_: object) -> None:
            """Accepts the outcome."""

    async def work() -> str:
        async with http_pool() as pool:
            handler = ProbeHandler(
                queue=cast(Any, AcceptingQueue()),
                storage=cast(Any, FileStorage()),
                pool=pool,
                token="t",
                ffprobe=cast(Any, None),
                limits=cast(Any, None),
                slots=asyncio.Semaphore(1),
            )
            return await handler.work(JOB)

    monkeypatch.setattr("assetdock_server.worker.probing.probe", probe)

    assert asyncio.run(work()) == "done"

    assert ranges == [b"3456"]


def _crash_count() -> float:
    """The value of the failure counter for the code `probe_crashed`."""
    return next(
        (
            sample.value
            for metric in counters.failures.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.labels == {"code": "probe_crashed"}
        ),
        0.0,
    )
