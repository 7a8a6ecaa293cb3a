"""The Supabase CLI applies the migrations with the same result as the local stack."""

from collections.abc import Iterator

import psycopg
import pytest

from devstack import migrations
from devstack.binaries import PROJECT
from devstack.ports import Ports
from devstack.project import Project
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.catalogue import SCHEMAS
from tests.database.supabase_cli import push

CATALOGUE = """
select 'function', oid::regprocedure::text, prosrc, proacl::text from pg_proc
where pronamespace = any(%(schemas)s::regnamespace[])
union all
select 'column', attrelid::regclass::text || '.' || attname, format_type(atttypid, atttypmod), attacl::text
from pg_attribute join pg_class c on c.oid = attrelid
where relnamespace = any(%(schemas)s::regnamespace[]) and relkind in ('r', 'v') and attnum > 0
union all
select 'policy', polrelid::regclass::text, polname, pg_get_expr(polqual, polrelid) from pg_policy
union all
select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
order by 1, 2, 3
"""


@pytest.fixture(scope="module")
def empty_stack() -> Iterator[Stack]:
    """A stack without any migration."""
    with temporary_state_directory() as directory, Stack(directory, Ports.free(), project=Project()) as running:
        yield running


def objects(stack: Stack) -> list[tuple[str, ...]]:
    with psycopg.connect(stack.db_url) as connection:
        return connection.execute(CATALOGUE, {"schemas": SCHEMAS}).fetchall()


def applied(stack: Stack) -> list[tuple[str, ...]]:
    with psycopg.connect(stack.db_url) as connection:
        return connection.execute(
            "select version, name from supabase_migrations.schema_migrations order by version"
        ).fetchall()


def test_the_cli_and_the_local_stack_apply_the_same_migrations(empty_stack: Stack, stack: Stack) -> None:
    pushed = push(empty_stack)

    assert pushed.returncode == 0, pushed.stdout
    assert applied(empty_stack) == applied(stack)
    assert len(applied(empty_stack)) == len(list((PROJECT / "supabase/migrations").glob("*.sql")))
    assert objects(empty_stack) == objects(stack)
    # Each accepts the other's record of what was applied.
    assert migrations.apply(empty_stack.postgres_db_url, PROJECT / "supabase/migrations") == []
    repeated = push(stack)
    assert repeated.returncode == 0, repeated.stdout
    assert "up to date" in repeated.stdout.lower()
