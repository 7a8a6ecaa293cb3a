"""Fixtures: one real stack, service and worker for the whole run, and new users for every test."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any, cast

import httpx
import jwt
import psycopg
import pytest
from hypothesis import settings

from assetdock_server.config import service_settings
from assetdock_server.identity.minting import Minter
from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests import running_project
from tests.callers import CREATED_USERS, OPEN_CLIENTS, Caller, Project, session_caller
from tests.polling import DEADLINE, until
from tests.processes import FROM_CHECKOUT, Service, WorkerProcess
from tests.running_project import RunningProject
from tests.tone import tone

# No deadline, because CI machines are slow. The same commit runs the same examples; `make soak` runs random ones.
settings.register_profile("assetdock", deadline=None, derandomize="SOAK" not in os.environ)
settings.load_profile("assetdock")


@pytest.fixture(scope="session")
def stack(pytestconfig: pytest.Config) -> Iterator[Stack]:
    if pytestconfig.getoption(running_project.OPTION):
        yield cast(Stack, RunningProject.from_environment())
        return
    with temporary_state_directory() as directory, Stack(directory, Ports.free()) as running:
        yield running


@pytest.fixture(scope="session")
def service_environment(stack: Stack) -> dict[str, str]:
    name, key = (
        ("SUPABASE_SIGNING_KEY", stack.signing_key) if stack.signing_key else ("SUPABASE_JWT_SECRET", stack.jwt_secret)
    )
    return {
        "SUPABASE_URL": stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        name: str(key),
    }


@pytest.fixture(scope="session")
def worker_environment(service_environment: dict[str, str]) -> dict[str, str]:
    token = Minter(service_settings(service_environment).signing_key).for_worker(days=1)
    shared = {name: service_environment[name] for name in ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY")}
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


@pytest.fixture(scope="session", autouse=True)
def leave_nothing_in_a_running_project(pytestconfig: pytest.Config, request: pytest.FixtureRequest) -> Iterator[None]:
    """Deletes the users of the tests at the end, lets a worker purge what they owned, and checks for leftovers."""
    if not pytestconfig.getoption(running_project.OPTION):
        yield
        return
    stack: Stack = request.getfixturevalue("stack")
    environment: dict[str, str] = request.getfixturevalue("worker_environment")
    yield
    for project, user_id in CREATED_USERS:
        headers = {"apikey": project.secret_key}
        httpx.delete(f"{project.supabase_url}/auth/v1/admin/users/{user_id}", headers=headers, timeout=DEADLINE)
    owners = [user_id for _, user_id in CREATED_USERS]
    worker = WorkerProcess(environment)
    try:
        with psycopg.connect(stack.db_url, autocommit=True) as database:
            left = "select from assetdock_app.assets a where a.owner_id = any (%s) and a.stored_bytes > 0"
            until(
                lambda: database.execute(left, [owners]).fetchone() is None, "the worker to purge what the tests left"
            )
    finally:
        worker.stop()
    found = subprocess.run([*FROM_CHECKOUT, "reconcile"], env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, f"the tests left discrepancies:\n{found.stdout}{found.stderr}"


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
    if not stack.signing_key:
        pytest.skip("needs SUPABASE_SIGNING_KEY")
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
