"""Nothing that an upstream server sends ends the worker. A refused token ends its start."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

import jwt
import pytest
import structlog

from assetdock_server.config import ConfigError
from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.refused_tokens import RefusedTokenError
from assetdock_server.metrics import REGISTRY
from assetdock_server.worker import loop
from assetdock_server.worker.loop import Worker
from assetdock_server.worker.queue import Job, Queue
from assetdock_server.worker.token import check, count_down
from tests.polling import eventually_in_loop
from tests.processes import Process
from tests.service.scripted_upstream import always, last_response, upstream
from tests.worker.test_loop import job

SECRET = "a secret of at least thirty-two bytes"


def token(seconds: float, **claims: Any) -> str:
    return jwt.encode({"role": "assetdock_worker", "exp": int(time.time() + seconds), **claims}, SECRET)


class FailingQueue:
    """A queue that raises each of these errors, and then leases one job."""

    lease_seconds = 60

    def __init__(self, failures: list[Exception]) -> None:
        self._failures = failures
        self._jobs = [job("after the failures")]
        self.token = token(3600)

    async def lease_jobs(self, *_: object, **__: object) -> tuple[list[Job], int]:
        if self._failures:
            raise self._failures.pop(0)
        return ([self._jobs.pop()] if self._jobs else []), 0


def failures(code: str) -> float:
    return REGISTRY.get_sample_value("assetdock_worker_lease_failures_total", {"code": code}) or 0.0


@pytest.mark.parametrize(
    ("failure", "code", "event"),
    [
        (ApiError("upstream_error"), "upstream_error", "queue_unreachable"),
        (RefusedTokenError("JWT expired"), "token_refused", "worker_token_refused"),
        (TypeError("a bug"), "unexpected", "lease_failed"),
    ],
)
def test_the_worker_continues_after_any_failed_poll(
    failure: Exception, code: str, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_BACKOFF", 0.05)
    before = failures(code)
    done: list[str] = []

    async def handler(leased: Job) -> str:
        done.append(leased.id)
        return "done"

    async def scenario() -> None:
        stopping = asyncio.Event()
        queue = FailingQueue([failure] * 3)
        worker = asyncio.create_task(Worker(cast(Any, queue), {"probe": handler}, 1, stopping).run())
        await eventually_in_loop(lambda: done or worker.done())
        stopping.set()
        await worker

    with structlog.testing.capture_logs() as logs:
        asyncio.run(scenario())

    assert done == ["after the failures"]
    assert failures(code) == before + 3
    assert event in {line["event"] for line in logs}
    if event == "worker_token_refused":
        assert next(line for line in logs if line["event"] == event)["expires_at"].startswith("20")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("200 OK", b"<html>"),
        ("200 OK", b""),
        ("200 OK", b"null"),
        ("204 No Content", b""),
        ("200 OK", b'{"jobs":null,"exhausted":0}'),
        ("200 OK", b'{"jobs":[{}],"exhausted":0}'),
        ("200 OK", b'{"jobs":[],"exhausted":"0"}'),
    ],
)
def test_an_invalid_response_to_lease_jobs_is_an_upstream_error(status: str, body: bytes) -> None:
    async def run() -> None:
        async with upstream(always(last_response(status, body))) as served, http_pool() as pool:
            postgrest = Postgrest(pool, url=served.url, publishable_key="key")
            await Queue(postgrest, token="t", worker="w", lease_seconds=60).lease_jobs(1, ["probe"], idle=True)

    with pytest.raises(ApiError, match="upstream_error"):
        asyncio.run(run())


def test_a_job_of_a_kind_without_handler_does_not_stop_the_others() -> None:
    async def scenario() -> None:
        stopping = asyncio.Event()
        worker = asyncio.create_task(Worker(cast(Any, FailingQueue([])), {}, 1, stopping).run())
        await asyncio.sleep(0.1)
        stopping.set()
        await worker

    with structlog.testing.capture_logs() as logs:
        asyncio.run(scenario())

    assert "job_crashed" in {line["event"] for line in logs}


def test_a_worker_whose_token_is_refused_does_not_start(worker_environment: Mapping[str, str], sign: Any) -> None:
    expired = sign({"role": "assetdock_worker", "exp": int(time.time()) - 3600})
    process = Process(["worker"], {**worker_environment, "SUPABASE_WORKER_TOKEN": expired})
    try:
        status, output = process.wait(), process.output
    finally:
        process.stop()

    assert status == 2
    lines = [line for line in output.splitlines() if not line.startswith("{")]
    assert len(lines) == 1
    assert lines[0].startswith("assetdock: SUPABASE_WORKER_TOKEN is refused (JWT expired). It expires at 20")
    assert "mint-worker-token" in lines[0]


def test_a_worker_starts_without_a_database() -> None:
    async def run(data: bytes) -> None:
        async with upstream(always(data)) as served, http_pool() as pool:
            postgrest = Postgrest(pool, url=served.url, publishable_key="key")
            await check(Queue(postgrest, token="t", worker="w", lease_seconds=60), token(60))

    asyncio.run(run(last_response("503 Service Unavailable", b"")))
    with pytest.raises(ConfigError, match="SUPABASE_WORKER_TOKEN"):
        asyncio.run(run(last_response("401 Unauthorized", b'{"code":"PGRST301","message":"no"}')))


def test_a_metric_counts_down_to_the_end_of_the_token() -> None:
    def left() -> float | None:
        return REGISTRY.get_sample_value("assetdock_worker_token_expires_in_seconds")

    count_down(token(1000))
    first = left()
    time.sleep(0.05)

    assert first is not None
    assert 950 < first <= 1000
    assert (left() or 0) < first
