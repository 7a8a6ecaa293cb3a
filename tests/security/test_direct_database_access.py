"""A browser client with a session, straight at PostgREST: reads its own rows, changes nothing but by functions."""

from typing import Any

import httpx
import psycopg
import pytest

from devstack.ports import Ports
from devstack.postgres import DefaultGrants
from devstack.scratch import scratch_directory
from devstack.stack import Stack
from tests.callers import Caller

VIEWS = ["assets", "asset_events", "api_keys"]


def rest(caller: Caller, method: str, path: str, schema: str = "api", **how: Any) -> httpx.Response:
    headers = {
        "apikey": caller.project.publishable_key,
        "Authorization": f"Bearer {caller.credential}",
        "Accept-Profile": schema,
        "Content-Profile": schema,
        **how.pop("headers", {}),
    }
    return httpx.request(method, f"{caller.project.supabase_url}/rest/v1{path}", headers=headers, **how)


@pytest.fixture
def stocked(owner: Caller) -> Caller:
    owner.reserve(filename="mine")
    owner.mint_key()
    return owner


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "query",
    ["select=*", "select=*&limit=1000", "order=id.desc", "or=(id.not.is.null,id.is.null)",
     "id=neq.00000000-0000-0000-0000-000000000000",
     "select=count", "select=*,assets(*)", "select=*,api_keys(*)", "owner_id=not.is.null", "select=owner_id"],
)  # fmt: skip
def test_no_filter_or_embedding_shows_a_strangers_rows(
    stocked: Caller, stranger: Caller, view: str, query: str
) -> None:
    mine = rest(stocked, "GET", f"/{view}?select=*").text
    seen = rest(stranger, "GET", f"/{view}?{query}")

    assert seen.status_code in (200, 400, 404)
    if seen.status_code == 200 and seen.json() not in ([], [{"count": 0}]):
        pytest.fail(seen.text)
    assert "mine" in mine or view != "assets"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "prefer", ["return=representation", "return=minimal", "resolution=merge-duplicates", "tx=rollback"]
)
@pytest.mark.parametrize("method", ["POST", "PATCH", "PUT", "DELETE"])
def test_nothing_can_be_written_through_a_view(stocked: Caller, view: str, prefer: str, method: str) -> None:
    before = rest(stocked, "GET", f"/{view}?select=*").json()

    change: Any = {"state": "ready"}
    target, body = (f"/{view}", [change, change]) if method == "POST" else (f"/{view}?id=not.is.null", change)

    answer = rest(stocked, method, target, headers={"Prefer": prefer}, json=body)

    assert answer.status_code in (400, 401, 403, 404, 405), answer.text
    assert "Failing row" not in answer.text
    assert rest(stocked, "GET", f"/{view}?select=*").json() == before


@pytest.mark.parametrize("schema", ["app", "private", "auth", "storage", "supabase_migrations", "pg_catalog"])
def test_other_schemas_are_not_exposed(stocked: Caller, schema: str) -> None:
    answer = rest(stocked, "GET", "/assets?select=*", schema=schema)

    assert answer.status_code == 406
    assert answer.json()["code"] == "PGRST106"


@pytest.mark.parametrize(
    "helper", ["owner_with", "may_sign_upload", "is_ready", "may_purge", "require", "identify", "fail"]
)
def test_helpers_of_policies_cannot_be_called(stocked: Caller, helper: str) -> None:
    for schema in ("api", "private"):
        answer = rest(stocked, "POST", f"/rpc/{helper}", schema=schema, json={"scope": "assets:read"})
        assert answer.status_code in (404, 406)


def test_errors_show_no_row_no_constraint_and_no_sql(stocked: Caller) -> None:
    """What a direct caller can provoke with wrong values in every argument of the functions that take the most."""
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
    arguments = {
        "create_upload": ["type", "content_type", "filename", "size_bytes", "sha256", "metadata", "expires_in",
                          "source_asset_id", "idempotency_key"],
        "create_api_key": ["name", "prefix", "secret_sha256", "scopes", "expires_at", "idempotency_key"],
        "list_assets": ["limit", "cursor", "state", "type", "include_total"],
    }  # fmt: skip
    good: dict[str, dict[str, Any]] = {"create_upload": {"type": "audio"}, "create_api_key": {}, "list_assets": {}}
    for function, names in arguments.items():
        for name in names:
            for value in hostile:
                answer = rest(stocked, "POST", f"/rpc/{function}", json={**good[function], name: value})
                assert answer.status_code < 500, (function, name, value, answer.text)
                for leak in ("Failing row", "constraint", "violates", "relation", "app.", "private."):
                    assert leak not in answer.text, (function, name, value, answer.text)


@pytest.mark.parametrize("regime", ["legacy", "explicit"])
def test_nothing_of_ours_leaks_under_either_regime_of_default_grants(regime: DefaultGrants) -> None:
    with scratch_directory() as directory, Stack(directory, Ports.free(), default_grants=regime) as stack:
        with psycopg.connect(stack.postgres_db_url, autocommit=True) as postgres:
            postgres.execute("create table public.scratch (id int); create table app.scratch (id int)")
            postgres.execute("create function public.scratch() returns int language sql as 'select 1'")
            postgres.execute("create function private.scratch() returns int language sql as 'select 1'")
        with psycopg.connect(stack.db_url) as connection:
            reachable = connection.execute(
                """
                select role, c.oid::regclass::text
                from pg_class c, unnest('{anon,authenticated,service_role}'::text[]) role
                where c.relnamespace = any('{app,private}'::regnamespace[]) and c.relkind in ('r', 'v')
                  and has_table_privilege(role, c.oid, 'select, insert, update, delete')
                """
            ).fetchall()
            usable = connection.execute(
                "select role, room from unnest('{anon,authenticated,service_role}'::text[]) role,"
                " unnest('{app,private}'::text[]) room where has_schema_privilege(role, room, 'usage')"
            ).fetchall()
            public = connection.execute("select has_table_privilege('anon', 'public.scratch', 'select')").fetchone()
    assert reachable == []
    assert usable == []
    assert public == (regime == "legacy",)  # shows that the regime was in force
