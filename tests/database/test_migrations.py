"""The migrations go in by the real Supabase CLI as they do by the local stack."""

import os
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from devstack import migrations
from devstack.binaries import PROJECT, find_supabase
from devstack.ports import Ports
from devstack.project import Project
from devstack.scratch import scratch_directory
from devstack.stack import Stack

CATALOGUE = """
select 'function', oid::regprocedure::text, prosrc, proacl::text from pg_proc
where pronamespace = any('{assetdock,assetdock_app,assetdock_private}'::regnamespace[])
union all
select 'column', attrelid::regclass::text || '.' || attname, format_type(atttypid, atttypmod), attacl::text
from pg_attribute join pg_class c on c.oid = attrelid
where relnamespace = any('{assetdock,assetdock_app,assetdock_private}'::regnamespace[]) and relkind in ('r', 'v') and attnum > 0
union all
select 'policy', polrelid::regclass::text, polname, pg_get_expr(polqual, polrelid) from pg_policy
union all
select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) from pg_trigger where not tgisinternal
order by 1, 2, 3
"""


@pytest.fixture(scope="module")
def bare() -> Iterator[Stack]:
    """Supabase with nothing of ours in it."""
    with scratch_directory() as directory, Stack(directory, Ports.free(), project=Project()) as running:
        yield running


def supabase(stack: Stack, *arguments: str) -> str:
    with scratch_directory() as home:
        done = subprocess.run(
            [find_supabase(), *arguments, "--db-url", f"{stack.postgres_db_url}?sslmode=disable", "--yes"],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "SUPABASE_TELEMETRY_DISABLED": "1", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def catalogue(stack: Stack) -> list[tuple[str, ...]]:
    with psycopg.connect(stack.db_url) as connection:
        return connection.execute(CATALOGUE).fetchall()


def recorded(stack: Stack) -> list[tuple[str, ...]]:
    with psycopg.connect(stack.db_url) as connection:
        return connection.execute(
            "select version, name from supabase_migrations.schema_migrations order by version"
        ).fetchall()


def test_the_cli_pushes_what_the_local_stack_applies(bare: Stack, stack: Stack) -> None:
    supabase(bare, "db", "push")

    assert recorded(bare) == recorded(stack)
    assert len(recorded(bare)) == len(list((PROJECT / "supabase/migrations").glob("*.sql")))
    assert catalogue(bare) == catalogue(stack)
    # Each takes the other's record for its own: nothing is left to do.
    migrations.apply(bare.postgres_db_url, PROJECT / "supabase/migrations")
    assert "up to date" in supabase(stack, "db", "push").lower()
