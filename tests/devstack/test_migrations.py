"""Applying migrations."""

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from devstack import migrations
from devstack.binaries import PROJECT, npm_platform
from devstack.migrations import MigrationError
from devstack.stack import Stack

CLI = PROJECT / f"node_modules/@supabase/cli-{npm_platform()}/bin/supabase"


@pytest.fixture
def database(stack: Stack) -> Iterator[str]:
    """The URL of an empty database that `postgres` owns."""
    name = f"migrations_{secrets.token_hex(4)}"
    with psycopg.connect(stack.db_url, autocommit=True) as superuser:
        superuser.execute(f"create database {name} owner postgres".encode())
        yield stack.postgres_db_url.removesuffix("/postgres") + f"/{name}"
        superuser.execute(f"drop database {name} with (force)".encode())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """supabase/migrations with two files."""
    directory = tmp_path / "supabase/migrations"
    directory.mkdir(parents=True)
    write(
        directory,
        "20260101000000_first",
        "create schema assetdock_app;\n\ncreate table assetdock_app.a (id int);\n-- end;\n",
    )
    write(directory, "20260102000000_second", "-- more\ncreate table assetdock_app.b (id int);\n")
    return directory


def write(directory: Path, name: str, text: str) -> None:
    (directory / f"{name}.sql").write_text(text)


def recorded(database: str) -> list[tuple[str, str, list[str]]]:
    with psycopg.connect(database) as connection:
        return connection.execute(
            "select version, name, statements from supabase_migrations.schema_migrations order by version"
        ).fetchall()


def tables(database: str) -> list[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select tablename from pg_tables where schemaname = 'assetdock_app' order by 1"
        ).fetchall()
    return [name for (name,) in rows]


def test_applies_files_in_order_and_only_once(database: str, directory: Path) -> None:
    first = migrations.apply(database, directory)
    again = migrations.apply(database, directory)

    assert [migration.name for migration in first] == ["first", "second"]
    assert again == []
    assert tables(database) == ["a", "b"]
    assert recorded(database)[1] == ("20260102000000", "second", ["-- more\ncreate table assetdock_app.b (id int)"])


def test_failure_reports_file_and_line_and_rolls_back_only_its_file(database: str, directory: Path) -> None:
    write(
        directory,
        "20260103000000_third",
        "create table assetdock_app.c (id int);\n\ncreate table assetdock_app.d (\n  id intt\n);\n",
    )

    with pytest.raises(MigrationError, match=r'20260103000000_third\.sql:4: type "intt" does not exist'):
        migrations.apply(database, directory)

    assert tables(database) == ["a", "b"]
    assert [version for version, _, _ in recorded(database)] == ["20260101000000", "20260102000000"]


def test_error_of_a_do_block_reports_the_line_of_its_statement(database: str, directory: Path) -> None:
    write(
        directory,
        "20260103000000_third",
        "select 1;\n-- why\n\ndo $$ begin\n  raise exception 'no such luck';\nend $$;\n",
    )

    with pytest.raises(MigrationError, match=r"third\.sql:4: no such luck"):
        migrations.apply(database, directory)


def test_rejects_a_file_that_changed_after_it_was_applied(database: str, directory: Path) -> None:
    migrations.apply(database, directory)
    write(directory, "20260102000000_second", "create table assetdock_app.b (id bigint);\n")

    with pytest.raises(MigrationError, match=r"second\.sql has changed since it was applied"):
        migrations.apply(database, directory)


def test_ignores_changed_blank_lines(database: str, directory: Path) -> None:
    migrations.apply(database, directory)
    write(directory, "20260102000000_second", "-- more\n\n\ncreate table assetdock_app.b (id int);;\n")

    assert migrations.apply(database, directory) == []


def test_rejects_a_missing_applied_file(database: str, directory: Path) -> None:
    migrations.apply(database, directory)
    (directory / "20260102000000_second.sql").unlink()

    with pytest.raises(MigrationError, match="20260102000000 is not in"):
        migrations.apply(database, directory)


def test_rejects_a_file_that_ends_its_own_transaction(database: str, directory: Path) -> None:
    write(directory, "20260103000000_third", "create table assetdock_app.c (id int);\ncommit;\n")

    with pytest.raises(MigrationError, match=r"third\.sql:2: a migration must not end its own transaction"):
        migrations.apply(database, directory)


def test_rejects_two_files_with_the_same_version(directory: Path) -> None:
    write(directory, "20260102000000_twin", "select 1;\n")

    with pytest.raises(MigrationError, match="20260102000000"):
        migrations.find(directory)


@pytest.mark.skipif(not CLI.exists(), reason="the Supabase CLI is not installed for this platform")
def test_supabase_cli_accepts_the_recorded_migrations(database: str, directory: Path) -> None:
    def supabase(*arguments: str) -> str:
        result = subprocess.run(
            [CLI, *arguments, "--db-url", f"{database}?sslmode=disable", "--yes"],
            cwd=directory.parent.parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=240,
        )
        return result.stdout + result.stderr

    migrations.apply(database, directory)
    write(directory, "20260103000000_third", "create table assetdock_app.c (id int);\n-- the end\n")

    assert "third" in supabase("db", "push")
    assert len(recorded(database)) == 3
    assert migrations.apply(database, directory) == []
