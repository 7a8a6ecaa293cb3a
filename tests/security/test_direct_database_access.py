"""A session that calls PostgREST directly reaches rows only through functions."""

import itertools
from typing import Any

import httpx
import psycopg
import pytest

from devstack.ports import Ports
from devstack.postgres import DefaultGrants
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests import catalogue
from tests.callers import Caller
from tests.catalogue import API_ROLES, Database
from tests.database.grants import EXECUTABLE_FUNCTIONS
from tests.security.arguments import valid_arguments


def rest(
    caller: Caller, method: str, path: str, schema: str = "assetdock", http: httpx.Client | None = None, **options: Any
) -> httpx.Response:
    headers = {
        "apikey": caller.project.publishable_key,
        "Authorization": f"Bearer {caller.credential}",
        "Accept-Profile": schema,
        "Content-Profile": schema,
        **options.pop("headers", {}),
    }
    return (http or httpx).request(method, f"{caller.project.supabase_url}/rest/v1{path}", headers=headers, **options)


@pytest.mark.parametrize("relation", ["assets", "asset_events", "api_keys", "webhook_endpoints", "jobs", "usage"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
def test_no_table_can_be_read_or_written(owner: Caller, relation: str, method: str) -> None:
    owner.reserve()

    response = rest(owner, method, f"/{relation}?id=eq.1", json=None if method == "GET" else {"id": 1})

    assert response.status_code in (404, 405), response.text
    assert response.content in (b"", b"{}") or response.json()["code"] in ("42P01", "PGRST105", "PGRST205")


@pytest.mark.parametrize(
    "schema", ["assetdock_app", "assetdock_private", "auth", "storage", "supabase_migrations", "pg_catalog"]
)
def test_other_schemas_are_not_exposed(owner: Caller, schema: str) -> None:
    response = rest(owner, "GET", "/assets?select=*", schema=schema)

    assert response.status_code == 406
    assert response.json()["code"] == "PGRST106"


@pytest.mark.parametrize(
    "helper", ["owner_with", "may_sign_upload", "is_ready", "may_purge", "require", "identify", "fail"]
)
def test_private_functions_cannot_be_called(owner: Caller, helper: str) -> None:
    for schema in ("assetdock", "assetdock_private"):
        response = rest(owner, "POST", f"/rpc/{helper}", schema=schema, json={"scope": "assets:read"})
        assert response.status_code in (404, 406)


def test_errors_reveal_no_row_constraint_or_sql(owner: Caller, database: Database) -> None:
    """Sends invalid values in every argument of every function that a session can call."""
    hostile: list[Any] = [
        None,
        "",
        "x" * 5000,
        -1,
        2**62,
        [],
        {},
        {"a": {"b": 1}},
        True,
        "'; drop table x; --",
        "9999-12-31",
    ]
    database.execute(
        "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1000000)", [owner.owner_id]
    )
    functions = catalogue.arguments_of_functions(database, "authenticated")
    assert len(functions) >= 20
    with httpx.Client() as http:  # one connection for hundreds of calls
        for function, names in functions.items():
            valid = valid_arguments(owner, names)
            for name, value in itertools.product(names, hostile):
                response = rest(owner, "POST", f"/rpc/{function}", http=http, json={**valid, name: value})
                assert response.status_code < 500, (function, name, value, response.text)
                if response.status_code < 400:
                    continue
                for leak in ("Failing row", "constraint", "violates", "relation", "app.", "private."):
                    assert leak not in response.text, (function, name, value, response.text)


@pytest.mark.local_stack
@pytest.mark.parametrize("regime", ["legacy", "explicit"])
def test_neither_regime_of_default_grants_opens_our_schemas(regime: DefaultGrants) -> None:
    new = {"assetdock.scratch": API_ROLES, "assetdock_private.scratch": API_ROLES}
    with temporary_state_directory() as directory, Stack(directory, Ports.free(), default_grants=regime) as stack:
        with psycopg.connect(stack.db_url) as connection:
            assert catalogue.executable_functions(connection) == EXECUTABLE_FUNCTIONS
            assert catalogue.reachable_relations(connection) == set()
        with psycopg.connect(stack.postgres_db_url, autocommit=True) as postgres:
            postgres.execute("create table public.scratch (id int); create table assetdock_app.scratch (id int)")
            postgres.execute("create function public.scratch() returns int language sql as 'select 1'")
            postgres.execute("create function assetdock_private.scratch() returns int language sql as 'select 1'")
            postgres.execute("create function assetdock.scratch() returns int language sql as 'select 1'")
        with psycopg.connect(stack.db_url) as connection:
            reachable = connection.execute(
                """
                select role, c.oid::regclass::text
                from pg_class c, unnest('{anon,authenticated,service_role}'::text[]) role
                where c.relnamespace = any('{assetdock_app,assetdock_private}'::regnamespace[])
                  and c.relkind in ('r', 'v')
                  and has_table_privilege(role, c.oid, 'select, insert, update, delete')
                """
            ).fetchall()
            usable = connection.execute(
                "select role, schema from unnest('{anon,authenticated,service_role}'::text[]) role,"
                " unnest('{assetdock_app,assetdock_private}'::text[]) schema"
                " where has_schema_privilege(role, schema, 'usage')"
            ).fetchall()
            public = connection.execute("select has_table_privilege('anon', 'public.scratch', 'select')").fetchone()
            # Postgres lets every role execute a new function, under both regimes. The catalogue's walk finds one
            # without its revoke. Without USAGE on its schema, no API role can call it.
            assert catalogue.executable_functions(connection) == EXECUTABLE_FUNCTIONS | new
            assert catalogue.reachable_relations(connection) == set()
            assert catalogue.usable_schemas(connection) == {
                ("assetdock", role) for role in API_ROLES if role != "service_role"
            }
    assert reachable == []
    assert usable == []
    assert public == (regime == "legacy",)  # proves that the regime was in force
