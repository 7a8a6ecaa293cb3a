"""What a caller receives depends only on rows that it may see.

A caller asks for everything that it can read, in every form that PostgREST offers. Then rows of other owners are added
and analysed. The same requests must get the same bytes. Estimates are the reason: `Prefer: count=planned` on a table or
view answers from statistics, which Postgres collects over the rows of all owners.
"""

import itertools
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests import catalogue
from tests.attacks import Record
from tests.callers import Caller, Project, session_caller
from tests.polling import until
from tests.processes import Service

pytestmark = pytest.mark.local_stack
STRANGERS_ROWS = 5000
PREFER = ["", "count=exact", "count=planned", "count=estimated"]
ACCEPT = [
    "application/json",
    "application/vnd.pgrst.object+json",
    "text/csv",
    "application/vnd.pgrst.plan+json; options=analyze|verbose|settings|buffers",
]
FILTERS = [
    "",
    "filename=lt.zz",
    "filename=eq.secret 17.wav",
    "url=like.*hooks*",
    "select=count()",
    "select=items",
    "order=id.desc",
    "or=(id.not.is.null,id.is.null)",
    "pgrst_scalar->>items=match.secret",
]
TABLES = ["assets", "asset_events", "api_keys", "webhook_endpoints", "jobs", "usage", "objects", "users"]


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """A stack of its own, because other tests add rows to the shared one."""
    with temporary_state_directory() as directory, Stack(directory, Ports.free()) as running:
        yield running


@pytest.fixture(scope="module")
def own_project(own_stack: Stack) -> Iterator[Project]:
    environment = {
        "SUPABASE_URL": own_stack.supabase_url,
        "SUPABASE_PUBLISHABLE_KEY": own_stack.publishable_key,
        "SUPABASE_SIGNING_KEY": own_stack.signing_key,
    }
    service = Service(environment, Ports.free().gateway)
    yield Project(own_stack.supabase_url, own_stack.publishable_key, own_stack.secret_key, service.url)
    service.stop()


@pytest.fixture(scope="module")
def caller(own_project: Project) -> Caller:
    """A caller with a row of each kind."""
    caller = session_caller(own_project)
    caller.reserve(filename="mine.wav")
    caller.create_deleted_asset()
    caller.mint_key()
    caller.create_endpoint("https://hooks.invalid/mine")
    return caller


def targets(caller: Caller, database: catalogue.Database) -> list[str]:
    """Every relation that somebody might expect, and every function that only reads, with the caller's own ids."""
    [asset] = caller.http.get("/assets").json()["items"]
    [endpoint] = caller.http.get("/webhook-endpoints").json()["items"]
    own = {"asset_id": asset["id"], "webhook_endpoint_id": endpoint["id"]}
    reading = {
        name
        for (name,) in database.execute(
            "select proname::text from pg_proc where pronamespace = 'assetdock'::regnamespace and provolatile <> 'v'"
            " and has_function_privilege('authenticated', oid, 'execute')"
        )
    }
    assert len(reading) >= 5
    return [f"/{table}?" for table in TABLES] + [
        f"/rpc/{name}?" + "".join(f"{argument}={own[argument]}&" for argument in names if argument in own)
        for name, names in catalogue.arguments_of_functions(database, "authenticated").items()
        if name in reading
    ]


def answers(caller: Caller, paths: list[str]) -> dict[tuple[str, ...], tuple[int, str, bytes]]:
    """Status, range and body of each path x filter x Prefer x Accept."""
    found: dict[tuple[str, ...], tuple[int, str, bytes]] = {}
    with httpx.Client(base_url=f"{caller.project.supabase_url}/rest/v1", timeout=240) as http:
        for path, filters, prefer, accept in itertools.product(paths, FILTERS, PREFER, ACCEPT):
            response = http.get(
                path + filters,
                headers={
                    "apikey": caller.project.publishable_key,
                    "Authorization": f"Bearer {caller.credential}",
                    "Accept-Profile": "assetdock",
                    "Accept": accept,
                    "Prefer": prefer,
                },
            )
            assert response.status_code < 500, (path, filters, prefer, accept, response.text)
            found[path, filters, prefer, accept] = (
                response.status_code,
                response.headers.get("content-range", ""),
                response.content,
            )
    return found


def add_strangers_rows(database: catalogue.Database) -> None:
    """Rows of other owners in every table that a caller's functions read, with statistics about them."""
    for statement in (
        "insert into auth.users (id, email) select gen_random_uuid(), 'stranger ' || n from generate_series(1, 500) n",
        "insert into assetdock_app.assets (owner_id, type, reserved_by, filename, upload_expires_at, finish_by)"
        " select u.id, 'audio', 'session', 'secret ' || n || '.wav', now() + interval '1 h', now() + interval '2 h'"
        f" from auth.users u, generate_series(1, {STRANGERS_ROWS} / 500) n where u.email like 'stranger %'",
        "insert into assetdock_app.asset_events (asset_id, owner_id, from_state, to_state, actor, reason)"
        " select a.id, a.owner_id, 'pending_upload', 'expired', 'system', 'secret' from assetdock_app.assets a,"
        " generate_series(1, 2) n where a.filename like 'secret %'",
        "insert into assetdock_app.webhook_endpoints (owner_id, url, event_types)"
        " select u.id, 'https://hooks.secret.example/' || u.id, '{asset.ready}' from auth.users u"
        " where u.email like 'stranger %'",
        "insert into assetdock_app.api_keys (owner_id, name, prefix, scopes, created_by)"
        " select u.id, 'secret', 'rk_live_' || substr(md5(u.id::text), 1, 8), '{assets:read}', 'session'"
        " from auth.users u where u.email like 'stranger %'",
        "analyze",
    ):
        database.execute(statement.encode())


def test_no_answer_depends_on_the_rows_of_other_owners(caller: Caller, own_stack: Stack, attack: Record) -> None:
    with psycopg.connect(own_stack.db_url, autocommit=True) as database:
        database.execute("analyze")
        paths = targets(caller, database)
        before = answers(caller, paths)
        add_strangers_rows(database)
        after = answers(caller, paths)

    assert sum(status == 200 for status, _, _ in before.values()) >= len(PREFER) * 5, "some requests must succeed"
    assert b"mine.wav" in b"".join(body for _, _, body in before.values())
    changed = [request for request in before if before[request] != after[request]]
    attack(
        "2 estimates about rows of other owners: answers that change",
        before="two filenames read whole in 205 and 319 requests",
        now=f"{len(changed)} of {len(before)}",
        bound="0",
    )
    assert changed == []


def test_the_comparison_sees_the_estimates_of_a_view(caller: Caller, own_stack: Stack) -> None:
    """A view under row-level security, such as the exposed schema must never contain, answers differently."""
    with psycopg.connect(own_stack.postgres_db_url, autocommit=True) as postgres:
        postgres.execute("create table public.scratch (owner_id uuid, filename text)")
        try:
            postgres.execute("alter table public.scratch enable row level security")
            postgres.execute("alter table public.scratch alter column owner_id set statistics 0")  # as in our tables
            postgres.execute("create policy own on public.scratch for select using (owner_id = auth.uid())")
            postgres.execute("create view assetdock.scratch with (security_invoker = true) as table public.scratch")
            postgres.execute("grant select on public.scratch, assetdock.scratch to authenticated")
            postgres.execute("analyze public.scratch")
            postgres.execute("notify pgrst, 'reload schema'")
            path = ["/scratch?"]
            until(lambda: answers(caller, path)["/scratch?", "", "", ACCEPT[0]][0] == 200, "PostgREST to know the view")
            before = answers(caller, path)
            postgres.execute(
                "insert into public.scratch select gen_random_uuid(), 'a secret ' || n from generate_series(1, 5000) n"
            )
            postgres.execute("analyze public.scratch")
            after = answers(caller, path)
        finally:
            postgres.execute("drop table public.scratch cascade")
            postgres.execute("notify pgrst, 'reload schema'")

    changed = {request for request in before if before[request] != after[request]}
    assert ("/scratch?", "filename=lt.zz", "count=planned", "application/json") in changed
