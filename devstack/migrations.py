"""Applies supabase/migrations/*.sql as role `postgres` and records them like the Supabase CLI."""

import re
from dataclasses import dataclass
from pathlib import Path

import psycopg

from devstack import sql_statements
from devstack.errors import StackError

_FILE_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.*)\.sql")
_LOCK = 0x6173736574646F63  # "assetdoc" in ASCII

# The CLI's own table, so that `supabase db push` and `supabase migration list` see the applied migrations.
_TABLE = """
set local lock_timeout = '4s';
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (version text not null primary key);
alter table supabase_migrations.schema_migrations add column if not exists statements text[];
alter table supabase_migrations.schema_migrations add column if not exists name text
"""


class MigrationError(StackError):
    """A migration failed, changed after it was applied, or is missing. The message names file and line."""


@dataclass(frozen=True)
class Migration:
    """One file, ``<version>_<name>.sql``."""

    path: Path
    version: str
    name: str

    def statements(self) -> list[sql_statements.Statement]:
        return sql_statements.split(self.path.read_text(encoding="utf-8"))


def find(directory: Path) -> list[Migration]:
    """The migrations in order. Skips files whose names the CLI skips."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        if match := _FILE_NAME.fullmatch(path.name):
            found.append(Migration(path, match["version"], match["name"]))
    versions = [migration.version for migration in found]
    if duplicates := {version for version in versions if versions.count(version) > 1}:
        raise MigrationError(f"Two migrations in {directory} have the same version: {', '.join(sorted(duplicates))}.")
    return found


def apply(url: str, directory: Path) -> list[Migration]:
    """Applies the new migrations in ``directory``, each file in one transaction, and returns them.

    ``url`` connects as `postgres`. Raises MigrationError: the failing file is rolled back, the files before it stay
    applied.
    """
    migrations = find(directory)
    with psycopg.connect(url, autocommit=True) as lock:
        lock.execute("select pg_advisory_lock(%s)", [_LOCK])
        with lock.transaction():
            lock.execute(_TABLE)
        recorded = _recorded(lock)
        _reject_changed_files(directory, migrations, recorded)
        new = [migration for migration in migrations if migration.version not in recorded]
        for migration in new:
            # A new connection for each file, because a `set` in one file must not affect the next.
            with psycopg.connect(url) as connection:
                _run(connection, migration)
    return new


def _recorded(connection: psycopg.Connection) -> dict[str, str | None]:
    """Version → the applied text, or None if it was not recorded."""
    rows = connection.execute("select version, statements from supabase_migrations.schema_migrations")
    return {version: None if texts is None else ";".join(texts) for version, texts in rows}


def _reject_changed_files(directory: Path, migrations: list[Migration], recorded: dict[str, str | None]) -> None:
    on_disk = {migration.version: migration for migration in migrations}
    if missing := sorted(recorded.keys() - on_disk.keys()):
        raise MigrationError(
            f"Applied migration {missing[0]} is not in {directory}. Put the file back, "
            "or delete the database with `python -m devstack reset`."
        )
    for version, text in recorded.items():
        current = ";".join(statement.text for statement in on_disk[version].statements())
        if text is not None and _normalized(text) != _normalized(current):
            raise MigrationError(
                f"{on_disk[version].path} has changed since it was applied. "
                "Put the change into a new migration, or delete the database with `python -m devstack reset`."
            )


def _normalized(text: str) -> str:
    """Removes whitespace and semicolons, because the CLI trims statements differently."""
    return re.sub(r"[\s;]+", "", text)


def _run(connection: psycopg.Connection, migration: Migration) -> None:
    parts = migration.statements()
    for part in parts:
        try:
            connection.execute(part.text.encode())
        except psycopg.Error as error:
            raise MigrationError(_error_message(migration, part, error)) from error
        if connection.info.transaction_status != psycopg.pq.TransactionStatus.INTRANS:
            raise MigrationError(
                f"{migration.path}:{part.line}: a migration must not end its own transaction, "
                "because each file is applied completely or not at all."
            )
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
        [migration.version, migration.name, [part.text for part in parts]],
    )


def _error_message(migration: Migration, part: sql_statements.Statement, error: psycopg.Error) -> str:
    line = part.line
    if error.diag.statement_position:
        line += part.text.count("\n", 0, int(error.diag.statement_position) - 1)
    elif leading := re.match(r"(?:\s*(?:--[^\n]*\n|/\*.*?\*/))*\s*", part.text, re.DOTALL):
        line += leading.group().count("\n")  # skip the comments above the statement
    lines = [f"{migration.path}:{line}: {error.diag.message_primary or error} (SQLSTATE {error.sqlstate})"]
    lines += [text for text in (error.diag.message_detail, error.diag.message_hint, error.diag.context) if text]
    return "\n  ".join(lines)
