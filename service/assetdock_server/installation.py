"""`assetdock-server install`: adds the migrations, the Edge Function and the settings to a Supabase project."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import ParseError

from assetdock_server import files
from assetdock_server.config import BUCKET

SCHEMA = "assetdock"
FUNCTION = "upload-url"
PREFIX = "assetdock_"  # of the names of our migrations in another project
MIGRATION = re.compile(r"(?P<version>[0-9]+)_(?P<name>.*)\.sql")
VERSION_FORMAT = "%Y%m%d%H%M%S"
MANIFEST = ".assetdock.json"  # in the function's directory: the digests of the files as they were installed


class InstallError(Exception):
    """The project cannot be changed. The message is one sentence that says what to do."""


@dataclass(frozen=True)
class Change:
    """One file to write, and the line that describes the change."""

    path: Path
    text: str
    summary: str


def plan(project: Path) -> list[Change]:
    """The changes that a project needs, without making them; empty if this version is installed.

    Raises InstallError for a directory that is no Supabase project, and for a file of Assetdock that somebody changed.
    """
    supabase = project / "supabase"
    if not (supabase / "config.toml").is_file():
        raise InstallError(f"{project} has no supabase/config.toml: run `supabase init` there, or name the project.")
    changes = [*_migrations(supabase), *_function(supabase), *_settings(supabase)]
    for change in changes:
        _require_writable(change.path)
    return changes


def apply(changes: list[Change]) -> None:
    """Makes the changes. If a file cannot be written, none is changed."""
    temporary = {change: change.path.with_name(f".{change.path.name}.assetdock") for change in changes}
    try:
        for change, path in temporary.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(change.text, encoding="utf-8")
        for change, path in temporary.items():
            path.replace(change.path)
    except OSError as error:
        raise InstallError(f"{error.filename} cannot be written: {error.strerror}.") from error
    finally:
        for path in temporary.values():
            with suppress(OSError):  # it may not exist
                path.unlink()


def _migrations(supabase: Path) -> Iterator[Change]:
    directory = supabase / "migrations"
    present = {path: match for path in sorted(directory.glob("*.sql")) if (match := MIGRATION.fullmatch(path.name))}
    ours = [
        (match["name"], path.read_text(encoding="utf-8"))
        for path in sorted((files.directory("supabase") / "migrations").glob("*.sql"))
        if (match := MIGRATION.fullmatch(path.name))
    ]
    names = {PREFIX + name for name, _ in ours}
    for path, match in present.items():
        if match["name"].startswith(PREFIX) and match["name"] not in names:
            raise InstallError(
                f"{path} is of a newer version of Assetdock than this package, {_version()}: upgrade the package."
            )
    last = max((match["version"] for match in present.values()), key=int, default="0")
    number = _next_versions(last)
    for name, text in ours:
        installed = [path for path, match in present.items() if match["name"] == PREFIX + name]
        if not installed:
            path = directory / f"{next(number)}_{PREFIX}{name}.sql"
            yield Change(path, text, f"add     {path}")
        elif installed[0].read_text(encoding="utf-8") != text:
            raise InstallError(
                f"{installed[0]} was changed after its installation: restore it, and put your change into a migration "
                "of your own."
            )


def _next_versions(last: str) -> Iterator[str]:
    """Versions for new migrations: the current time, or what follows the last version if that is in the future."""
    now = datetime.now(UTC).strftime(VERSION_FORMAT)
    value = max(now, last, key=int)
    while True:
        try:
            value = (datetime.strptime(value, VERSION_FORMAT) + timedelta(seconds=1)).strftime(VERSION_FORMAT)
        except ValueError:  # a number that is no time
            value = str(int(value) + 1).rjust(len(value), "0")
        yield value


def _function(supabase: Path) -> Iterator[Change]:
    directory = supabase / "functions" / FUNCTION
    source = files.directory("supabase") / "functions" / FUNCTION
    ours = {path.name: path.read_text(encoding="utf-8") for path in sorted(source.iterdir()) if path.name != MANIFEST}
    installed = _installed_digests(directory)
    changed = False
    for name, text in ours.items():
        path = directory / name
        present = path.read_text(encoding="utf-8") if path.is_file() else None
        if present == text:
            continue
        if present is not None and _digest(present) != installed.get(name):
            raise InstallError(f"{path} is not of Assetdock, or was changed: move it away, and run the command again.")
        changed = True
        yield Change(path, text, f"{'add   ' if present is None else 'update'}  {path}")
    manifest = directory / MANIFEST
    if changed or not manifest.is_file():
        digests = {name: _digest(text) for name, text in ours.items()}
        text = json.dumps({"version": _version(), "files": digests}, indent=2) + "\n"
        yield Change(manifest, text, f"add     {manifest}")


def _installed_digests(directory: Path) -> dict[str, str]:
    """Name of a file -> its SHA-256 when it was installed."""
    try:
        return dict(json.loads((directory / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _settings(supabase: Path) -> Iterator[Change]:
    path = supabase / "config.toml"
    before = path.read_text(encoding="utf-8")
    try:
        document = tomlkit.parse(before)
    except ParseError as error:
        raise InstallError(f"{path} is not valid TOML: {error}.") from error
    added = []
    schemas = _table(document, "api").setdefault("schemas", ["public", "graphql_public"])
    if SCHEMA not in schemas:
        schemas.append(SCHEMA)
        added.append(f"api.schemas includes {SCHEMA}")
    buckets = _table(_table(document, "storage"), "buckets")
    if BUCKET not in buckets:
        buckets[BUCKET] = {"public": False}
        added.append(f"the private bucket {BUCKET}")
    elif buckets[BUCKET].get("public", False):
        raise InstallError(f"{path} makes the bucket {BUCKET} public: remove `public = true` from it.")
    functions = _table(document, "functions")
    if FUNCTION not in functions:
        # The function verifies sessions itself: the gateway's check does not support asymmetric signing keys.
        functions[FUNCTION] = {"verify_jwt": False}
        added.append(f"the function {FUNCTION}")
    if added:
        yield Change(path, tomlkit.dumps(document), f"change  {path}: {', '.join(added)}")


def _table(parent: Any, name: str) -> Any:
    """The table with this name, which is added if it is missing."""
    if name not in parent:
        parent[name] = tomlkit.table(is_super_table=True)
    if not isinstance(parent[name], Mapping):
        raise InstallError(f"In supabase/config.toml, {name} is not a table.")
    return parent[name]


def _require_writable(path: Path) -> None:
    existing = next(parent for parent in (path, *path.parents) if parent.exists())
    if not os.access(existing, os.W_OK):
        raise InstallError(f"{existing} cannot be written: run the command as a user who can.")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _version() -> str:
    return version("assetdock-server")
