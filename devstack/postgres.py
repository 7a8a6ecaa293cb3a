"""The Postgres server: create, start, and recover after a crash."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import psycopg

from devstack.child import Child, started_at, wait_gone
from devstack.errors import StackError
from devstack.ports import HOST
from devstack.postgres_home import PostgresHome

DefaultGrants = Literal["legacy", "explicit"]
SUPERUSER = "supabase_admin"
PASSWORD = "postgres"  # noqa: S105 - public, as that of `supabase start`
BOOTSTRAP = Path(__file__).with_name("bootstrap")
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u ",
    "wal_level": "logical",
    "max_wal_size": "256MB",
    "shared_preload_libraries": "pg_stat_statements",  # as on hosted
}


def url(port: int, role: str = SUPERUSER) -> str:
    """``postgresql://…`` for a role. The database is named `postgres`, as on hosted."""
    return f"postgresql://{role}:{PASSWORD}@{HOST}:{port}/postgres"


class Postgres:
    """A data directory and its server."""

    def __init__(self, state: Path, port: int, default_grants: DefaultGrants = "explicit") -> None:
        """``default_grants``: privileges of the API roles on new objects in `public`. `legacy` is ALL (projects from
        before 30 October 2026), `explicit` is none. Fixed when the database is created.
        """
        self.home = PostgresHome.of(state)
        # Written last, so an interrupted creation starts again, and also one whose state directory was deleted.
        self._created = state / "postgres.created"
        self.port = port
        self.default_grants: DefaultGrants = default_grants
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        self.child = Child(
            "postgres",
            [self.home.binaries.postgres, "-D", self.home.data, "-p", str(port), *options],
            log=state / "logs/postgres.log",
            env=_environment(),
            cwd=Path("/"),  # the user of Postgres may have no access to ours
            user=self.home.user,
            ready=self._is_ready,
            stop_signal=signal.SIGINT,  # fast shutdown; SIGTERM would wait for every client to disconnect
            parent_death_signal=signal.SIGINT,
            # The processes of a killed server hold its shared memory until they exit.
            retry_on="is still in use",
            before_start=lambda: stop_orphaned_server(self.home.data),
        )

    def start(self) -> None:
        """Creates the database if there is none, starts the server and waits until it is ready.

        Raises StackError with the server's output when it does not start.
        """
        fresh = not self._created.exists()
        if fresh:
            self._initialise()
        self.child.start()
        self.child.wait_ready()
        if fresh:
            self._bootstrap()
            self._created.touch()

    def _initialise(self) -> None:
        stop_orphaned_server(self.home.data)
        shutil.rmtree(self.home.data, ignore_errors=True)
        self.home.create()
        with tempfile.TemporaryDirectory(prefix="assetdock-initdb-") as directory:
            password = Path(directory, "password")
            password.write_text(f"{PASSWORD}\n")
            if self.home.user:
                os.chown(directory, *self.home.user)
                os.chown(password, *self.home.user)
            uid, gid = self.home.user or (None, None)
            result = subprocess.run(
                [
                    self.home.binaries.initdb,
                    f"--pgdata={self.home.data}",
                    f"--username={SUPERUSER}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--locale=C",
                    "--locale-provider=builtin",
                    "--builtin-locale=C.UTF-8",
                ],
                user=uid,
                group=gid,
                extra_groups=[] if self.home.user else None,
                env=_environment(),
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
        if result.returncode:
            raise StackError(f"initdb failed in {self.home.data}:\n{result.stdout}{result.stderr}")

    def _bootstrap(self) -> None:
        """Creates the roles, schemas and tables of Supabase in one transaction."""
        files = sorted(BOOTSTRAP.glob("[0-9]*.sql"))
        if self.default_grants == "legacy":
            files.append(BOOTSTRAP / "default-grants-legacy.sql")
        with psycopg.connect(url(self.port)) as connection:
            for file in files:
                connection.execute(file.read_bytes())

    def _is_ready(self) -> bool:
        with psycopg.connect(url(self.port), connect_timeout=2) as connection:
            return connection.execute("select not pg_is_in_recovery()").fetchone() == (True,)


def stop_orphaned_server(data: Path) -> None:
    """Stops a server that a killed parent left running on this data directory, like `pg_ctl stop`.

    A lock file whose pid now belongs to another program is removed, because Postgres would take that program for a
    server. A lock file without a process stays: Postgres itself checks whether its shared memory is still in use.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return
    if not started_at(pid):
        return
    if str(data) not in _command_line(pid):
        lock.unlink()
        return
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        os.kill(pid, number)
        if wait_gone(pid, 10):
            return
    raise StackError(f"Postgres (pid {pid}) on {data} does not stop.")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _command_line(pid: int) -> str:
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    return subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
