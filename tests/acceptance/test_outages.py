"""A server behind the service is away: an answer in the envelope, in time, and recovery by itself."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from devstack.child import signal_group
from devstack.ports import Ports
from devstack.scratch import scratch_directory
from devstack.stack import Stack
from tests.callers import Caller, Project, error_of, session_caller
from tests.polling import until
from tests.processes import Service, WorkerProcess

GENEROUS = 20.0  # seconds for an answer; the service's own limit is half of that


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack of its own, so that nobody else's tests are hurt."""
    with scratch_directory() as directory, Stack(directory, Ports.free()) as running:
        yield running


@pytest.fixture(scope="module")
def environment(own: Stack) -> dict[str, str]:
    return {
        "SUPABASE_URL": own.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": own.publishable_key,
        "SUPABASE_SIGNING_KEY": own.signing_key,
    }


@pytest.fixture(scope="module")
def own_service(environment: dict[str, str]) -> Iterator[Service]:
    running = Service(environment, Ports.free().gateway)
    yield running
    running.stop()


@pytest.fixture
def caller(own: Stack, own_service: Service) -> Caller:
    caller = session_caller(Project(own.supabase_url, own.publishable_key, own.secret_key, own_service.url))
    assert caller.reserve()
    return caller


def checks(caller: Caller) -> tuple[int, dict[str, str]]:
    answer = httpx.get(f"{caller.project.api_url}/readyz", timeout=GENEROUS)
    return answer.status_code, answer.json()["checks"]


def works(caller: Caller) -> bool:
    return caller.http.post("/assets/upload-url", json={"type": "audio"}).status_code == 201


@pytest.mark.parametrize(
    ("part", "away"),
    [
        ("postgres", {"database"}),
        ("postgrest", {"database"}),
        ("gateway", {"database", "storage", "signing_keys"}),
    ],
)
def test_a_killed_server_is_unavailable_and_the_service_recovers_by_itself(
    own: Stack, caller: Caller, part: str, away: set[str]
) -> None:
    child = own.children[part]
    child.kill()
    try:
        started = time.monotonic()
        for answer in (
            caller.http.post("/assets/upload-url", json={"type": "audio"}, timeout=GENEROUS),
            caller.http.get("/assets", timeout=GENEROUS),
        ):
            assert answer.status_code in (503, 504), answer.text
            assert error_of(answer)["code"] in ("upstream_unavailable", "upstream_timeout")
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - started < 2 * GENEROUS
        until(
            lambda: {name for name, state in checks(caller)[1].items() if state != "ok"} == away, "readiness to notice"
        )
        status, states = checks(caller)
        assert status == 503
        assert states["signing_keys"] == ("stale" if "signing_keys" in away else "ok")
        assert httpx.get(f"{caller.project.api_url}/healthz").status_code == 200
    finally:
        child.restart()

    until(lambda: works(caller), "the service to recover")
    until(lambda: checks(caller) == (200, {"database": "ok", "storage": "ok", "signing_keys": "ok"}), "readiness")


def test_a_server_that_hangs_is_a_timeout(own: Stack, caller: Caller) -> None:
    pid = own.children["postgrest"].pid
    signal_group(pid, signal.SIGSTOP)
    try:
        answer = caller.http.get("/assets", timeout=GENEROUS)
        assert (answer.status_code, error_of(answer)["code"]) == (504, "upstream_timeout")
    finally:
        signal_group(pid, signal.SIGCONT)

    until(lambda: works(caller), "the service to recover")


def test_a_service_that_starts_before_supabase_is_up_works_once_it_is(
    own: Stack, environment: dict[str, str], caller: Caller
) -> None:
    own.children["gateway"].kill()
    early = Service(environment, Ports.free().gateway)
    try:
        late = Caller(
            Project(own.supabase_url, own.publishable_key, own.secret_key, early.url),
            caller.credential,
            caller.owner_id,
        )
        assert late.http.get("/assets").status_code == 503
        own.children["gateway"].restart()
        until(lambda: works(late), "the early service to work")
    finally:
        if not own.children["gateway"].running:
            own.children["gateway"].restart()
        early.stop()


def test_a_worker_waits_for_its_database_and_then_does_what_is_there(
    own: Stack, worker_token_of: str, environment: dict[str, str], caller: Caller, wav: bytes
) -> None:
    own.children["postgrest"].kill()
    settings = {name: value for name, value in environment.items() if name != "SUPABASE_SIGNING_KEY"}
    waiting = WorkerProcess({**settings, "SUPABASE_WORKER_TOKEN": worker_token_of})
    try:
        until(lambda: "queue_unreachable" in waiting.output, "the worker to notice")
        own.children["postgrest"].restart()
        until(lambda: works(caller), "the service to recover")
        assert caller.finished(caller.land(wav))["state"] == "ready"
        waiting.signal(signal.SIGTERM)
        assert waiting.wait() == 0
        assert "worker_stopped" in waiting.output
    finally:
        waiting.stop()


@pytest.fixture
def worker_token_of(environment: dict[str, str]) -> str:
    from assetdock_server.config import service_settings  # noqa: PLC0415
    from assetdock_server.identity.minting import Minter  # noqa: PLC0415

    return Minter(service_settings(environment).signing_key).for_worker(days=1)
