"""One real stack, service and worker for the whole run; fresh users for every test."""

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
from tests.callers import OPEN, Caller, Project, session_caller
from tests.polling import until
from tests.processes import Service, WorkerProcess
from tests.tone import tone

# A busy machine is no reason to fail, and the same commit gives the same answer. `make soak` is for surprises.
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
    kept = {name: value for name, value in service_environment.items() if name != "SUPABASE_SIGNING_KEY"}
    return {**kept, "SUPABASE_WORKER_TOKEN": token}


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
    before = len(OPEN)  # those of wider fixtures, which live on
    yield
    while len(OPEN) > before:
        OPEN.pop().close()


@pytest.fixture
def upload_url(request: pytest.FixtureRequest, project: Project) -> str:
    """Where uploads are reserved: the service's, unless a test asks for the Edge Function's (BOTH_ENDPOINTS)."""
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
    """As superuser, to look at and to arrange what no caller can."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def signing_jwk(stack: Stack) -> dict[str, str]:
    loaded: dict[str, str] = json.loads(stack.signing_key)
    return loaded


@pytest.fixture(scope="session")
def sign(signing_jwk: dict[str, str]) -> Any:
    """Signs claims with the project's own key, as only Auth and the service can."""
    key = jwt.PyJWK(signing_jwk).key

    def signed(claims: dict[str, Any]) -> str:
        return jwt.encode(claims, key, "ES256", headers={"kid": signing_jwk["kid"]})

    return signed


@pytest.fixture(scope="session")
def wav() -> bytes:
    return tone(seconds=1.5)


@pytest.fixture
def paused_worker(worker: WorkerProcess, database: psycopg.Connection[Any]) -> Iterator[None]:
    """The worker of the run stands still, so that a test can lease jobs itself: its own, for what others left, and what
    of it would fall due in the next ten seconds, is done before."""
    due = "select from assetdock_private.jobs where kind = 'probe' and finished_at is null and available_at <= now() + '10 s'"
    until(lambda: database.execute(due).fetchone() is None, "the worker to have caught up")
    worker.signal(signal.SIGSTOP)
    yield
    worker.signal(signal.SIGCONT)
