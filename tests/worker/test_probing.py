"""What a probe is given, and what becomes of one that cannot be done."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.media.mp3 import duration as mp3
from assetdock_server.media.report import ReadFailure
from assetdock_server.worker import counters
from assetdock_server.worker.probing import Prober
from assetdock_server.worker.queue import Job, LeasedAsset
from tests.worker.storage import Storage

SUBJECT = LeasedAsset(id="a", type="audio", content_type=None, size_bytes=1, sha256=None)
JOB = Job(id="j", kind="probe", attempt=1, lease_token="t", owner_id=None, subject=SUBJECT, exclusive=False)


class Away:
    """A Storage that does not answer."""

    async def sign_download(self, *_: object) -> None:
        raise ApiError("upstream_unavailable")


class Patience:
    """A queue that says what becomes of what is put off."""

    def __init__(self, outcome: str) -> None:
        self._outcome = outcome

    async def retry_job(self, _job: Job, _reason: str) -> str:
        return self._outcome


@pytest.mark.parametrize(("outcome", "ended", "counted"), [("retry", "postponed", 0), ("dead", "dead", 1)])
def test_a_probe_given_up_counts_as_a_failed_asset_and_one_put_off_does_not(
    outcome: str, ended: str, counted: int
) -> None:
    prober = Prober(
        queue=cast(Any, Patience(outcome)),
        storage=cast(Any, Away()),
        pool=cast(Any, None),
        token="t",
        ffprobe=cast(Any, None),
        limits=cast(Any, None),
        turns=asyncio.Semaphore(1),
    )
    before = _crashed()

    assert asyncio.run(prober.work(JOB)) == ended

    assert _crashed() - before == counted


class Ready:
    """A Storage that signs."""

    async def sign_download(self, *_: object) -> Any:
        return SimpleNamespace(url="http://127.0.0.1:9/never-asked")


class Returns:
    """A queue that takes jobs back."""

    def __init__(self) -> None:
        self.released: list[str] = []

    async def release_job(self, job: Job) -> None:
        self.released.append(job.id)


def test_a_job_whose_turn_does_not_come_is_given_back_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assetdock_server.worker.probing.MAX_SLOT_WAIT", 0.05)
    queue = Returns()

    async def behind_a_long_one() -> str:
        turns = asyncio.Semaphore(1)
        prober = Prober(
            queue=cast(Any, queue),
            storage=cast(Any, Ready()),
            pool=cast(Any, None),
            token="t",
            ffprobe=cast(Any, None),
            limits=cast(Any, None),
            turns=turns,
        )
        async with turns:
            outcome = await prober.work(JOB)
        assert not turns.locked()
        return outcome

    assert asyncio.run(behind_a_long_one()) == "released"

    assert queue.released == ["j"]


def test_a_probe_can_look_at_the_bytes_it_is_about(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    (storage.folder / "looked-at").write_bytes(b"0123456789")
    seen: list[bytes] = []

    async def probe(_url: str, *, read_range: mp3.ReadRange, **_: object) -> ReadFailure:
        seen.append(await read_range(3, 4))
        return ReadFailure("unreadable")

    class Signs:
        async def sign_download(self, *_: object) -> Any:
            return SimpleNamespace(url=storage.url("looked-at"))

    class Takes:
        async def reject_probe(self, *_: object) -> None:
            """An outcome."""

    async def work() -> str:
        async with http_pool() as pool:
            prober = Prober(
                queue=cast(Any, Takes()),
                storage=cast(Any, Signs()),
                pool=pool,
                token="t",
                ffprobe=cast(Any, None),
                limits=cast(Any, None),
                turns=asyncio.Semaphore(1),
            )
            return await prober.work(JOB)

    monkeypatch.setattr("assetdock_server.worker.probing.probe", probe)

    assert asyncio.run(work()) == "done"

    assert seen == [b"3456"]


def _crashed() -> float:
    return next(
        (
            sample.value
            for metric in counters.failures.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.labels == {"code": "probe_crashed"}
        ),
        0.0,
    )
