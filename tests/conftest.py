"""Fixtures: one real stack, service and worker for the whole run, and new users for every test."""

import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import jwt
import psycopg
import pytest
from hypothesis import settings

from assetdock_server.config import service_settings
from assetdock_server.identity.minting import Minter
from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.callers import OPEN_CLIENTS, Caller, Project, session_caller
from tests.polling import until
from tests.processes import Service, WorkerProcess
from tests.tone import tone

# No deadline, because CI machines are slow. The same commit runs the same examples; `make soak` runs random ones.
settings.register_profile("assetdock", deadline=None, derandomize="SOAK" not in os.environ)
settings.load_profile("assetdock")


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with temporary_state_directory() as directory, Stack(directory, Ports.free()) as running:
        yield running


@pytest.fixture(scope="session")
def service_environment(stack: Stack) -> dict[str, str]:
    return {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "SUPABASE_SIGNING_KEY": stack.signing_key,
    }


@pytest.fixture(scope="session")
def worker_environment(service_environment: dict[str, str]) -> dict[str, str]:
    token = Minter(service_settings(service_environment).signing_key).for_worker(days=1)
    shared = {name: value for name, value in service_environment.items() if name != "SUPABASE_SIGNING_KEY"}
    return {**shared, "SUPABASE_WORKER_TOKEN": token}


@pytest.fixture(scope="session")
def service(service_environment: dict[str, str]) -> Iterator[Service]:
    running = Service(service_environment, Ports.free().gateway)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def worker(worker_environment: dict[str, str]) -> Iterator[WorkerProcess]:
    running = WorkerProcess(worker_environment)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def project(stack: Stack, service: Service) -> Project:
    return Project(stack.supabase_url, stack.publishable_key, stack.secret_key, service.url)


@pytest.fixture(autouse=True)
def close_clients() -> Iterator[None]:
    before = len(OPEN_CLIENTS)  # clients of session fixtures stay open
    yield
    while len(OPEN_CLIENTS) > before:
        OPEN_CLIENTS.pop().close()


@pytest.fixture
def upload_url(request: pytest.FixtureRequest, project: Project) -> str:
    """The URL that reserves uploads: the service's, or the Edge Function's in tests with BOTH_ENDPOINTS."""
    if getattr(request, "param", "service") == "edge function":
        return f"{project.supabase_url}/functions/v1/upload-url"
    return f"{project.api_url}/api/v1/assets/upload-url"


@pytest.fixture
def owner(project: Project, upload_url: str) -> Caller:
    caller = session_caller(project)
    caller.upload_url = upload_url
    return caller


@pytest.fixture
def stranger(project: Project) -> Caller:
    return session_caller(project)


@pytest.fixture
def key_holder(owner: Caller) -> Caller:
    return owner.key_holder()


@pytest.fixture
def database(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """A superuser connection, for reading and arranging state that no caller can access."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def signing_jwk(stack: Stack) -> dict[str, str]:
    loaded: dict[str, str] = json.loads(stack.signing_key)
    return loaded


@pytest.fixture(scope="session")
def sign(signing_jwk: dict[str, str]) -> Any:
    """A function that signs claims with the project's signing key, which only Auth and the service have."""
    key = jwt.PyJWK(signing_jwk).key

    def signed(claims: dict[str, Any]) -> str:
        return jwt.encode(claims, key, "ES256", headers={"kid": signing_jwk["kid"]})

    return signed


@pytest.fixture(scope="session")
def wav() -> bytes:
    return tone(seconds=1.5)


@pytest.fixture
def paused_worker(worker: WorkerProcess, database: psycopg.Connection[Any]) -> Iterator[None]:
    """Stops the worker, so that a test can lease its own jobs.

    Waits first until the worker has finished the jobs of other tests that are due within ten seconds.
    """
    due = (
        "select from assetdock_private.jobs"
        " where kind = 'probe' and finished_at is null and available_at <= now() + '10 s'"
    )
    until(lambda: database.execute(due).fetchone() is None, "the worker to finish all due jobs")
    worker.signal(signal.SIGSTOP)
    yield
    worker.signal(signal.SIGCONT)
