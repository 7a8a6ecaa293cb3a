"""The Supabase under test: with --running-project the one of the environment, else a new local stack.

The tests are black-box: HTTP, and SQL for triggers. They create buckets, policies, a schema and triggers with
`contract` in their names and delete them at the end.
"""

import secrets
from collections.abc import Callable, Iterator

import psycopg
import pytest

from devstack.ports import Ports
from devstack.project import Project
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests import running_project
from tests.contract.target import RUN, Caller, MakeBucket, Target, put, sign_upload
from tests.contract.tus import Tus, as_user, by_token
from tests.running_project import RunningProject


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Iterator[Target]:
    if pytestconfig.getoption(running_project.OPTION):
        running = RunningProject.from_environment()
        yield Target(
            running.supabase_url,
            running.publishable_key,
            running.secret_key,
            running.postgres_db_url,
            running.signing_key,
        )
        return
    with (
        temporary_state_directory() as directory,
        Stack(directory, Ports.free(), project=Project()) as stack,
    ):
        yield Target(
            stack.supabase_url,
            stack.publishable_key,
            stack.secret_key,
            stack.postgres_db_url,
            stack.signing_key,
        )


@pytest.fixture(scope="session")
def sql(target: Target) -> Iterator[psycopg.Connection]:
    """An autocommit connection as `postgres`."""
    with psycopg.connect(target.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def anonymous(target: Target) -> Iterator[Caller]:
    """A client with only the publishable key."""
    with Caller(target, target.publishable_key) as caller:
        yield caller


@pytest.fixture(scope="session")
def admin(target: Target) -> Iterator[Caller]:
    """A client with the secret key."""
    with Caller(target, target.secret_key) as caller:
        yield caller


@pytest.fixture(scope="session")
def sign_in(target: Target, admin: Caller, anonymous: Caller) -> Iterator[Callable[[str], Caller]]:
    """Creates a user and signs in."""
    users: list[Caller] = []

    def make(name: str) -> Caller:
        email, password = f"{name}-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
        body = {"email": email, "password": password, "email_confirm": True}
        assert admin.post("/auth/v1/admin/users", json=body).status_code == 200
        response = anonymous.post("/auth/v1/token?grant_type=password", json={"email": email, "password": password})
        session = response.json()
        caller = Caller(target, target.publishable_key, session["access_token"], session["user"])
        users.append(caller)
        return caller

    yield make
    for user in users:
        admin.delete(f"/auth/v1/admin/users/{user.id}")
        user.close()


@pytest.fixture(scope="session")
def owner(sign_in: Callable[[str], Caller]) -> Caller:
    return sign_in("owner")


@pytest.fixture(scope="session")
def stranger(sign_in: Callable[[str], Caller]) -> Caller:
    return sign_in("stranger")


@pytest.fixture(scope="session")
def policies(sql: psycopg.Connection) -> Iterator[None]:
    """In buckets named `contract-<run>-open-…`, users can access their own objects."""
    mine = f"bucket_id like 'contract-{RUN}-open-%' and owner_id = (select auth.uid())::text"
    clauses = {
        "insert": f"with check ({mine})",
        "select": f"using ({mine})",
        "delete": f"using ({mine})",
        "update": f"using ({mine})",
    }
    for command, clause in clauses.items():
        sql.execute(
            f'create policy "contract {RUN} {command}" on storage.objects '
            f"for {command} to authenticated {clause}".encode()
        )
    yield
    for command in clauses:
        sql.execute(f'drop policy "contract {RUN} {command}" on storage.objects'.encode())


@pytest.fixture
def make_bucket(admin: Caller, policies: None) -> Iterator[MakeBucket]:
    """``make_bucket(open=True, **properties)`` returns a name. ``open``: the policies apply to the bucket."""
    made: list[str] = []

    def make(*, open: bool = True, **properties: object) -> str:  # noqa: A002 - the natural name for callers
        name = f"contract-{RUN}-{'open' if open else 'closed'}-{secrets.token_hex(4)}"
        response = admin.post("/storage/v1/bucket", json={"id": name, "name": name, **properties})
        assert response.status_code == 200, response.text
        made.append(name)
        return name

    yield make
    for name in made:
        admin.post(f"/storage/v1/bucket/{name}/empty")
        admin.delete(f"/storage/v1/bucket/{name}")


@pytest.fixture
def bucket(make_bucket: MakeBucket) -> str:
    return make_bucket()


@pytest.fixture
def upload(target: Target) -> Callable[..., str]:
    """``upload(caller, bucket, name, content)`` uploads an object and returns its name."""

    def make(caller: Caller, bucket: str, name: str = "a/b.txt", content: bytes = b"some bytes") -> str:
        response = put(target, sign_upload(caller, bucket, name), content)
        assert response.status_code == 200, response.text
        return name

    return make


@pytest.fixture(params=["by token", "as user"])
def tus(request: pytest.FixtureRequest, owner: Caller, bucket: str) -> Tus:
    """A caller who can upload `a.bin`."""
    return by_token(owner, bucket, "a.bin") if request.param == "by token" else as_user(owner)
