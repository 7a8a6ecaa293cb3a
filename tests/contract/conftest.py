"""The Supabase under test: the one that the CONTRACT_* variables name, or a stack of our own.

    CONTRACT_SUPABASE_URL, CONTRACT_PUBLISHABLE_KEY, CONTRACT_SECRET_KEY
    CONTRACT_DB_URL        of the role `postgres`
    CONTRACT_SIGNING_KEY   optional: a private JWK; what needs a token of our own making is skipped without it

Everything is black-box: HTTP, and SQL for what only a trigger can see. It makes buckets, policies, a
schema and triggers with `contract` in their names, and takes them away again.
"""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.ports import Ports
from devstack.project import Project
from devstack.stack import Stack
from tests.contract.target import RUN, Caller, MakeBucket, Target, put, sign_upload


@pytest.fixture(scope="session")
def target() -> Iterator[Target]:
    if url := os.environ.get("CONTRACT_SUPABASE_URL"):
        yield Target(
            url,
            os.environ["CONTRACT_PUBLISHABLE_KEY"],
            os.environ["CONTRACT_SECRET_KEY"],
            os.environ["CONTRACT_DB_URL"],
            os.environ.get("CONTRACT_SIGNING_KEY"),
        )
        return
    with (
        tempfile.TemporaryDirectory(prefix="assetdock-contract-") as directory,
        Stack(Path(directory), Ports.free(), project=Project()) as stack,
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
    """A connection of the role `postgres`, each statement its own transaction."""
    with psycopg.connect(target.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def nobody(target: Target) -> Iterator[Caller]:
    """A browser that has only the publishable key."""
    with Caller(target, target.publishable_key) as caller:
        yield caller


@pytest.fixture(scope="session")
def admin(target: Target) -> Iterator[Caller]:
    """A server that has the secret key."""
    with Caller(target, target.secret_key) as caller:
        yield caller


@pytest.fixture(scope="session")
def sign_in(target: Target, admin: Caller, nobody: Caller) -> Iterator[Callable[[str], Caller]]:
    """Makes a user of the given name, and signs in as them."""
    users: list[Caller] = []

    def make(name: str) -> Caller:
        email, password = f"{name}-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(12)
        body = {"email": email, "password": password, "email_confirm": True}
        assert admin.post("/auth/v1/admin/users", json=body).status_code == 200
        answer = nobody.post("/auth/v1/token?grant_type=password", json={"email": email, "password": password})
        session = answer.json()
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
    """In buckets called `contract-<run>-open-…`, users insert, see and delete what is theirs."""
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
    """``make_bucket(open=True, **properties)`` → its name. ``open``: users have policies in it."""
    made: list[str] = []

    def make(*, open: bool = True, **properties: object) -> str:  # noqa: A002 - reads as English where it is used
        name = f"contract-{RUN}-{'open' if open else 'closed'}-{secrets.token_hex(4)}"
        answer = admin.post("/storage/v1/bucket", json={"id": name, "name": name, **properties})
        assert answer.status_code == 200, answer.text
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
    """``upload(caller, bucket, name, content)``: puts an object there and returns its name."""

    def make(caller: Caller, bucket: str, name: str = "a/b.txt", content: bytes = b"some bytes") -> str:
        answer = put(target, sign_upload(caller, bucket, name), content)
        assert answer.status_code == 200, answer.text
        return name

    return make
