"""`create_upload` compared with a bare INSERT of the same row, by pgbench: commits are flushed, thousands of owners."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from bench.report import Goal, Spread, Table
from bench.tables.population import GROWING, OWNERS
from bench.tables.statements import SESSION
from devstack.binaries import PROJECT
from devstack.ports import HOST
from devstack.postgres import PASSWORD
from devstack.stack import Stack

CLIENTS = 8
ROUNDS, QUICK_ROUNDS = 5, 2
# Length of each run.
SECONDS, QUICK_SECONDS = 5, 1
SHARE_AT_LEAST = 0.35

_TARGET = """
drop table if exists bench.assets;
create table bench.assets (like assetdock_app.assets including all);
grant insert on bench.assets to authenticated, authenticator;
grant usage on schema bench to authenticated, authenticator;
-- The defaults and checks of the columns call these functions. This database is deleted after the benchmark.
grant execute on all functions in schema assetdock_private to authenticated, authenticator;
"""
# The start of PostgREST's transaction for a request. json.dumps puts a space after each colon, because pgbench reads
# :word as a variable.
_CLAIMS = json.dumps({**SESSION, "sub": "OWNER"})
_HEADERS = json.dumps({"accept": "application/json", "content-type": "application/json"})
_OWNER = "md5('owner ' || :n)::uuid"
_OPENING = f"""\\set n random(1, {OWNERS})
begin;
select set_config('search_path', 'assetdock, extensions', true), set_config('role', 'authenticated', true),
  set_config('request.jwt.claims', replace('{_CLAIMS}', 'OWNER', {_OWNER}::text), true),
  set_config('request.method', 'POST', true), set_config('request.path', '/rpc/create_upload', true),
  set_config('request.headers', '{_HEADERS}', true), set_config('request.cookies', '{{}}', true);
"""
_INSERT = f"""insert into bench.assets
  (owner_id, type, reserved_by, declared_content_type, upload_expires_at, finish_by)
values
  ({_OWNER}, 'audio', 'session', 'audio/mpeg', now() + interval '15 minutes', now() + interval '135 minutes');
"""  # noqa: S608 - nothing in it comes from outside
SCRIPTS = {
    "create_upload": (
        f"{_OPENING}select assetdock.create_upload(type => 'audio', content_type => 'audio/mpeg');\ncommit;\n"
    ),
    "bare INSERT": f"{_OPENING}{_INSERT}commit;\n",
    "bare INSERT, nothing around it": f"\\set n random(1, {OWNERS})\n{_INSERT}",
}


class PgbenchError(Exception):
    """pgbench is missing, or a transaction failed."""


@dataclass(frozen=True)
class Race:
    """Transactions per second of each script; in each round all scripts take turns."""

    assets: int
    rates: Mapping[str, Spread]

    @property
    def share(self) -> float:
        """The rate of create_upload divided by the rate of the bare INSERT in the same transaction."""
        return self.rates["create_upload"].median / self.rates["bare INSERT"].median

    @property
    def share_of_nothing_around(self) -> float:
        """The rate of create_upload divided by the rate of the INSERT as a transaction of one statement."""
        return self.rates["create_upload"].median / self.rates["bare INSERT, nothing around it"].median


UNPACKED = PROJECT / "node_modules/.cache/debian"


def find_pgbench() -> str:
    """Path of pgbench: on PATH, in Debian's directory, or where `make bench` unpacked it. Raises PgbenchError."""
    if on_path := shutil.which("pgbench"):
        return on_path
    for root in (Path("/"), UNPACKED):
        if installed := sorted(root.glob("usr/lib/postgresql/*/bin/pgbench")):
            return str(installed[-1])
    raise PgbenchError("The benchmark needs pgbench (any version). `make bench` installs it.")


def race(stack: Stack, connection: psycopg.Connection[Any], directory: Path, *, assets: int, quick: bool) -> Race:
    """Runs the scripts in turns on the tables as they are; the bare INSERT's starts empty. Raises PgbenchError."""
    seconds = QUICK_SECONDS if quick else SECONDS
    for table in GROWING:
        connection.execute(f"alter table {table} reset (autovacuum_enabled)".encode())  # the default
    connection.execute(_TARGET)
    for name, script in SCRIPTS.items():
        (directory / name).write_text(script)
        _rate(stack, directory / name, seconds)  # warm-up
    rates: dict[str, list[float]] = {name: [] for name in SCRIPTS}
    for place in range(QUICK_ROUNDS if quick else ROUNDS):
        for name in sorted(SCRIPTS, reverse=place % 2 == 1):
            connection.execute("checkpoint")
            rates[name].append(_rate(stack, directory / name, seconds))
    return Race(assets, {name: Spread(values) for name, values in rates.items()})


def _rate(stack: Stack, script: Path, seconds: int) -> float:
    how = [
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={CLIENTS}",
        "--jobs=2",
        f"--time={seconds}",
        f"--file={script}",
    ]
    where = [f"--host={HOST}", f"--port={stack.ports.postgres}", "--username=authenticator", "postgres"]
    ended = subprocess.run(
        [find_pgbench(), *how, *where],
        env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
    )
    rate = re.search(r"^tps = ([0-9.]+)", ended.stdout, re.MULTILINE)
    if (
        ended.returncode
        or rate is None
        or not re.search(r"^number of failed transactions: 0 ", ended.stdout, re.MULTILINE)
    ):
        raise PgbenchError(f"pgbench failed:\n{ended.stdout}{ended.stderr}")
    return float(rate[1])


def races_table(races: list[Race]) -> Table:
    """Medians, with minimum and maximum."""
    rounds = len(races[0].rates["create_upload"].values)
    return Table(
        ["transactions a second", *SCRIPTS, "share"],
        [
            [f"{race.assets:,} assets before", *(race.rates[name].text() for name in SCRIPTS), f"{race.share:.2f}"]
            for race in races
        ],
        f"{CLIENTS} connections, prepared statements, {OWNERS:,} owners drawn at random, {rounds} rounds in turns,"
        " every commit flushed. `create_upload` and *bare INSERT* run in the same transaction: `begin`, the seven"
        " `set_config` of PostgREST, the statement, `commit`. The bare INSERT goes into a copy of"
        " `assetdock_app.assets` with its defaults, checks, generated columns and indexes, empty at first, without"
        " triggers, policies or history. The share compares these two. *Nothing around it* is the INSERT as a"
        f" transaction of its own; compared with it, `create_upload` reaches"
        f" {', '.join(f'{race.share_of_nothing_around:.2f}' for race in races)}.",
    )


def races_goal(races: list[Race]) -> Goal:
    """Met when every race reaches the share."""
    return Goal(
        "`create_upload` against a bare INSERT, pgbench",
        f"≥ {SHARE_AT_LEAST}",
        ", ".join(f"{race.share:.2f} ({race.assets:,} assets before)" for race in races),
        all(race.share >= SHARE_AT_LEAST for race in races),
    )
