"""A call that creates something for an owner, and the deletion of that user at the same time."""

import json
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from devstack.stack import Stack
from tests.attacks import Record
from tests.callers import Caller
from tests.catalogue import Database
from tests.polling import until
from tests.security.arguments import valid_arguments

CREATING = {
    "create_upload": ["type", "content_type", "idempotency_key"],
    "create_api_key": ["name", "prefix", "secret_sha256", "idempotency_key"],
    "rotate_api_key": ["api_key_id", "prefix", "secret_sha256"],
    "create_webhook_endpoint": ["url", "event_types", "secret", "idempotency_key"],
    "rotate_webhook_secret": ["webhook_endpoint_id", "secret"],
    "test_webhook_endpoint": ["webhook_endpoint_id", "idempotency_key"],
}
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


def call(connection: Database, owner: Caller, session_id: str, function: str, arguments: dict[str, Any]) -> None:
    """Calls a function as the owner's session, in the transaction of the connection."""
    claims = {"role": "authenticated", "sub": owner.owner_id, "session_id": session_id}
    connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
    connection.execute("set local role authenticated")
    named = ", ".join(f"{name} => %s" for name in arguments)
    connection.execute(f"select assetdock.{function}({named})".encode(), list(arguments.values()))
    connection.execute("reset role")


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


@pytest.fixture
def session_id(owner: Caller, database: Database) -> str:
    row = database.execute("select id::text from auth.sessions where user_id = %s", [owner.owner_id]).fetchone()
    assert row is not None
    return str(row[0])


def arguments_of(owner: Caller, function: str) -> dict[str, Any]:
    names = CREATING[function]
    return valid_arguments(owner, names) | ({"idempotency_key": "k"} if "idempotency_key" in names else {})


def delete_user(stack: Stack, owner: Caller) -> None:
    with psycopg.connect(stack.db_url) as connection:
        connection.execute("delete from auth.users where id = %s", [owner.owner_id])


@pytest.mark.parametrize("function", CREATING)
def test_a_deletion_waits_for_calls_under_way_and_sees_what_they_create(
    owner: Caller, stack: Stack, database: Database, session_id: str, function: str, *, attack: Record
) -> None:
    arguments = arguments_of(owner, function)
    with psycopg.connect(stack.db_url) as connection:
        call(connection, owner, session_id, function, arguments)
        deletion, errors = in_thread(lambda: delete_user(stack, owner))
        until(lambda: database.execute(WAITING).fetchone() != (0,), "the deletion to wait")
        connection.commit()
    deletion.join()

    assert errors == []
    endpoints = database.execute(
        "select count(*) from assetdock_app.webhook_endpoints e left join assetdock_private.webhook_secrets s"
        " on s.webhook_endpoint_id = e.id where e.owner_id = %s and (e.deleted_at is null or s.secret is not null)",
        [owner.owner_id],
    ).fetchone()
    queued = database.execute(
        "select count(*) from assetdock_private.jobs where kind = 'purge_owner' and owner_id = %s", [owner.owner_id]
    ).fetchone()
    if function == "create_webhook_endpoint":
        attack(
            "9 endpoints with a secret after their user is deleted",
            before="1",
            now=str(endpoints and endpoints[0]),
            bound="0",
        )
    assert endpoints == (0,)
    assert queued == (1,)


@pytest.mark.parametrize("function", CREATING)
def test_a_call_waits_for_a_deletion_under_way_and_finds_no_user(
    owner: Caller, stack: Stack, database: Database, session_id: str, function: str
) -> None:
    arguments = arguments_of(owner, function)

    def late() -> None:
        with psycopg.connect(stack.db_url) as connection:
            call(connection, owner, session_id, function, arguments)

    with psycopg.connect(stack.db_url) as connection:
        connection.execute("delete from auth.users where id = %s", [owner.owner_id])
        creation, errors = in_thread(late)
        until(lambda: database.execute(WAITING).fetchone() != (0,), "the call to wait")
        connection.commit()
    creation.join()

    [error] = errors
    assert isinstance(error, psycopg.Error)
    assert error.sqlstate == "PGRST"
    assert '"unauthenticated"' in str(error)
