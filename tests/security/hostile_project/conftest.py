"""Assetdock in a project whose own policies, grants and triggers are as broad as they can be.

Some are there before our migrations, some come later. The fixtures of tests/conftest.py are repeated for this project,
because pytest caches them for the whole run.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from assetdock_server.config import service_settings
from assetdock_server.identity.minting import Minter
from devstack.ports import Ports
from devstack.project import Project as StackProject
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.callers import Project
from tests.polling import until
from tests.processes import Service, WorkerProcess

POLICIES = Path(__file__).with_name("policies.sql")
GRANTS = Path(__file__).with_name("grants.sql")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.local_stack)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with temporary_state_directory() as directory:
        ports = Ports.free()
        with (
            Stack(directory, ports, default_grants="legacy", project=StackProject()) as before,
            psycopg.connect(before.postgres_db_url, autocommit=True) as postgres,
        ):
            postgres.execute(POLICIES.read_bytes())
        with Stack(directory, ports, default_grants="legacy") as running:
            with psycopg.connect(running.postgres_db_url, autocommit=True) as postgres:
                postgres.execute(GRANTS.read_bytes())
                postgres.execute("notify pgrst, 'reload schema'")
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
def signing_jwk(stack: Stack) -> dict[str, str]:
    jwk: dict[str, str] = stack.keys.signing_jwk
    return jwk


@pytest.fixture(scope="session")
def sign(signing_jwk: dict[str, str]) -> Any:
    key = jwt.PyJWK(signing_jwk).key
    return lambda claims: jwt.encode(claims, key, "ES256", headers={"kid": signing_jwk["kid"]})


@pytest.fixture(scope="session")
def project(stack: Stack, service: Service) -> Project:
    project = Project(stack.supabase_url, stack.publishable_key, stack.secret_key, service.url)
    until(lambda: httpx.get(f"{service.url}/readyz").status_code == 200, "PostgREST to know the functions")
    return project
