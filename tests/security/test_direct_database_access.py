"""A browser client with a session, straight at PostgREST: reads its own rows, changes nothing but by functions."""

import itertools
from typing import Any

import httpx
import psycopg
import pytest

from devstack.ports import Ports
from devstack.postgres import DefaultGrants
from devstack.scratch import scratch_directory
from devstack.stack import Stack
from tests import catalogue
from tests.callers import Caller
from tests.catalogue import API_ROLES
from tests.database.grants import EXECUTABLE_FUNCTIONS, READABLE_RELATIONS
from tests.security.arguments import good_arguments

Database = psycopg.Connection[Any]


def rest(
    caller: Caller, method: str, path: str, schema: str = "assetdock", http: httpx.Client | None = None, **how: Any
) -> httpx.Response:
    headers = {
        "apikey": caller.project.publishable_key,
        "Authorization": f"Bearer {caller.credential}",
        "Accept-Profile": schema,
        "Content-Profile": schema,
        **how.pop("headers", {}),
    }
    return (http or httpx).request(method, f"{caller.project.supabase_url}/rest/v1{path}", headers=headers, **how)


@pytest.fixture
def stocked(owner: Caller) -> Caller:
    owner.reserve(filename="mine")
    owner.delete_one()
    owner.mint_key()
    owner.hook("https://hooks.invalid/mine")
    return owner


@pytest.fixture(scope="module")
def views(stack: Stack) -> dict[str, list[str]]:
    """Every view, and the columns of it that could be written."""
    with psycopg.connect(stack.db_url) as connection:
        return catalogue.views(connection)


@pytest.mark.parametrize(
    "query",
    ["select=*", "select=*&limit=1000", "order=id.desc", "or=(id.not.is.null,id.is.null)",
     "id=neq.00000000-0000-0000-0000-000000000000",
     "select=count", "select=*,assets(*)", "select=*,api_keys(*)", "owner_id=not.is.null", "select=owner_id"],
)  # fmt: skip
def test_no_filter_or_embedding_shows_a_strangers_rows(
    stocked: Caller, stranger: Caller, views: dict[str, list[str]], query: str
) -> None:
    for view in views:
        assert rest(stocked, "GET", f"/{view}?select=*").json(), f"there is nothing to be seen in {view}"

        seen = rest(stranger, "GET", f"/{view}?{query}")

        assert seen.status_code in (200, 400, 404)
        if seen.status_code == 200 and seen.json() not in ([], [{"count": 0}]):
            pytest.fail(f"{view}: {seen.text}")


@pytest.mark.parametrize(
    "prefer", ["return=representation", "return=minimal", "resolution=merge-duplicates", "tx=rollback"]
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_nothing_can_be_written_through_a_view(
    stocked: Caller, views: dict[str, list[str]], prefer: str, method: str
) -> None:
    """With a row and columns that could be written, so that nothing but the missing grant is in the way."""
    for view, columns in views.items():
        before = rest(stocked, "GET", f"/{view}?select=*").json()
        # created_at is generated in the table beneath, and refused as that before any grant is looked for.
        row = {name: before[0][name] for name in columns if name != "created_at"}
        key = "id" if "id" in row else "asset_id"
        target = f"/{view}" if method == "POST" else f"/{view}?{key}=eq.{row[key]}"

        answer = rest(stocked, method, target, headers={"Prefer": prefer}, json=[row, row] if method == "POST" else row)

        if method == "PUT" and key != "id":
            assert (answer.status_code, answer.json()["code"]) == (405, "PGRST105"), "no key to put a row by"
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "42501"), (view, answer.text)
            assert answer.json()["message"].startswith("permission denied for view"), (view, answer.text)
        assert rest(stocked, "GET", f"/{view}?select=*").json() == before


@pytest.mark.parametrize(
    "schema", ["assetdock_app", "assetdock_private", "auth", "storage", "supabase_migrations", "pg_catalog"]
)
def test_other_schemas_are_not_exposed(stocked: Caller, schema: str) -> None:
    answer = rest(stocked, "GET", "/assets?select=*", schema=schema)

    assert answer.status_code == 406
    assert answer.json()["code"] == "PGRST106"


@pytest.mark.parametrize(
    "helper", ["owner_with", "may_sign_upload", "is_ready", "may_purge", "require", "identify", "fail"]
)
def test_helpers_of_policies_cannot_be_called(stocked: Caller, helper: str) -> None:
    for schema in ("assetdock", "private"):
        answer = rest(stocked, "POST", f"/rpc/{helper}", schema=schema, json={"scope": "assets:read"})
        assert answer.status_code in (404, 406)


def test_errors_show_no_row_no_constraint_and_no_sql(stocked: Caller, database: Database) -> None:
    """What a direct caller can provoke with wrong values in every argument of every function a session may call."""
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
        "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1000000)", [stocked.owner_id]
    )
    functions = catalogue.arguments_of_functions(database, "authenticated")
    assert len(functions) >= 20
    with httpx.Client() as http:  # one connection for hundreds of calls
        for function, names in functions.items():
            good = good_arguments(stocked, names)
            for name, value in itertools.product(names, hostile):
                answer = rest(stocked, "POST", f"/rpc/{function}", http=http, json={**good, name: value})
                assert answer.status_code < 500, (function, name, value, answer.text)
                if answer.status_code < 400:
                    continue
                for leak in ("Failing row", "constraint", "violates", "relation", "app.", "private."):
                    assert leak not in answer.text, (function, name, value, answer.text)


@pytest.mark.parametrize("regime", ["legacy", "explicit"])
def test_nothing_of_ours_leaks_under_either_regime_of_default_grants(regime: DefaultGrants) -> None:
    made = {"assetdock.scratch": API_ROLES, "assetdock_private.scratch": API_ROLES}
    with scratch_directory() as directory, Stack(directory, Ports.free(), default_grants=regime) as stack:
        with psycopg.connect(stack.db_url) as connection:
            assert catalogue.executable_functions(connection) == EXECUTABLE_FUNCTIONS
            assert catalogue.readable_relations(connection) == READABLE_RELATIONS
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
                where c.relnamespace = any('{assetdock_app,assetdock_private}'::regnamespace[]) and c.relkind in ('r', 'v')
                  and has_table_privilege(role, c.oid, 'select, insert, update, delete')
                """
            ).fetchall()
            usable = connection.execute(
                "select role, room from unnest('{anon,authenticated,service_role}'::text[]) role,"
                " unnest('{assetdock_app,assetdock_private}'::text[]) room where has_schema_privilege(role, room, 'usage')"
            ).fetchall()
            public = connection.execute("select has_table_privilege('anon', 'public.scratch', 'select')").fetchone()
            # Postgres lets everyone execute a new function, under both regimes: one without its revoke is noticed, and
            # in a room that nobody can enter it still cannot be called.
            assert catalogue.executable_functions(connection) == EXECUTABLE_FUNCTIONS | made
            assert catalogue.readable_relations(connection) == READABLE_RELATIONS
            assert catalogue.usable_schemas(connection) == {
                ("assetdock", role) for role in API_ROLES if role != "service_role"
            }
    assert reachable == []
    assert usable == []
    assert public == (regime == "legacy",)  # shows that the regime was in force
