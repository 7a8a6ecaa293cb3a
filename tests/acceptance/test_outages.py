"""While an upstream server is down, the service responds in time with an error of ours. It recovers by itself."""

import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from assetdock_server.config import service_settings
from assetdock_server.identity.minting import Minter
from devstack.child import signal_group
from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.callers import Caller, Project, error_of, session_caller
from tests.polling import until
from tests.processes import Service, WorkerProcess

pytestmark = pytest.mark.local_stack
TIMEOUT = 20.0  # seconds for a response; the service's own time limit is half of that


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack for this file alone: its tests kill servers."""
    with temporary_state_directory() as directory, Stack(directory, Ports.free()) as running:
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
    response = httpx.get(f"{caller.project.api_url}/readyz", timeout=TIMEOUT)
    return response.status_code, response.json()["checks"]


def works(caller: Caller) -> bool:
    return caller.http.post("/assets/upload-url", json={"type": "audio"}).status_code == 201


@pytest.mark.parametrize(
    ("server", "failing_checks"),
    [
        ("postgres", {"database"}),
        ("postgrest", {"database"}),
        ("gateway", {"database", "storage", "signing_keys"}),
    ],
)
def test_the_service_reports_a_killed_upstream_as_unavailable_and_recovers(
    own: Stack, caller: Caller, server: str, failing_checks: set[str]
) -> None:
    child = own.children[server]
    child.kill()
    try:
        started = time.monotonic()
        for response in (
            caller.http.post("/assets/upload-url", json={"type": "audio"}, timeout=TIMEOUT),
            caller.http.get("/assets", timeout=TIMEOUT),
        ):
            assert response.status_code in (503, 504), response.text
            assert error_of(response)["code"] in ("upstream_unavailable", "upstream_timeout")
            if response.status_code == 503:
                assert int(response.headers["retry-after"]) >= 1
        assert time.monotonic() - started < 2 * TIMEOUT
        until(
            lambda: {name for name, state in checks(caller)[1].items() if state != "ok"} == failing_checks,
            "readiness to report the failure",
        )
        status, states = checks(caller)
        assert status == 503
        assert states["signing_keys"] == ("stale" if "signing_keys" in failing_checks else "ok")
        assert httpx.get(f"{caller.project.api_url}/healthz").status_code == 200
    finally:
        child.restart()

    until(lambda: works(caller), "the service to recover")
    until(lambda: checks(caller) == (200, {"database": "ok", "storage": "ok", "signing_keys": "ok"}), "readiness")


def test_an_upstream_that_hangs_is_an_upstream_timeout(own: Stack, caller: Caller) -> None:
    pid = own.children["postgrest"].pid
    signal_group(pid, signal.SIGSTOP)
    try:
        response = caller.http.get("/assets", timeout=TIMEOUT)
        assert (response.status_code, error_of(response)["code"]) == (504, "upstream_timeout")
    finally:
        signal_group(pid, signal.SIGCONT)

    until(lambda: works(caller), "the service to recover")


def test_a_service_that_starts_before_supabase_works_once_supabase_is_up(
    own: Stack, environment: dict[str, str], caller: Caller
) -> None:
    own.children["gateway"].kill()
    early = Service(environment, Ports.free().gateway)
    try:
        early_caller = Caller(
            Project(own.supabase_url, own.publishable_key, own.secret_key, early.url),
            caller.credential,
            caller.owner_id,
        )
        assert early_caller.http.get("/assets").status_code == 503
        own.children["gateway"].restart()
        until(lambda: works(early_caller), "the early service to work")
    finally:
        if not own.children["gateway"].running:
            own.children["gateway"].restart()
        early.stop()


def test_a_worker_that_starts_without_a_database_works_once_the_database_is_up(
    own: Stack, environment: dict[str, str], caller: Caller, wav: bytes
) -> None:
    own.children["postgrest"].kill()
    settings = {name: value for name, value in environment.items() if name != "SUPABASE_SIGNING_KEY"}
    token = Minter(service_settings(environment).signing_key).for_worker(days=1)
    waiting = WorkerProcess({**settings, "SUPABASE_WORKER_TOKEN": token})
    try:
        until(lambda: "queue_unreachable" in waiting.output, "the worker to report the outage")
        own.children["postgrest"].restart()
        until(lambda: works(caller), "the service to recover")
        assert caller.wait_until_finished(caller.land(wav))["state"] == "ready"
        waiting.signal(signal.SIGTERM)
        assert waiting.wait() == 0
        assert "worker_stopped" in waiting.output
    finally:
        waiting.stop()
