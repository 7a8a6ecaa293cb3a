"""A whole installation on free ports whose every process can be killed and started again."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psycopg

from assetdock_server.config import worker_settings
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage
from assetdock_server.worker.reconciliation import Reconciliation
from devstack import service as programs
from devstack.binaries import PROJECT
from devstack.child import Child, signal_group
from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.callers import Caller, Json, Project, session_caller

ORDINARY = "worker"
LEASE_SECONDS = 5  # the shortest there is: what a killed worker held comes round again soon


@dataclass
class Site:
    """A stack, a service and its workers. Start its processes from the main thread: they die with their starter."""

    stack: Stack
    service: Child
    api_port: int
    workers: dict[str, Child] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        return Project(
            self.stack.supabase_url,
            self.stack.publishable_key,
            self.stack.secret_key,
            f"http://127.0.0.1:{self.api_port}",
        )

    @property
    def worker_environment(self) -> dict[str, str]:
        return dict(programs.worker(self.stack).env)

    def owner(self) -> Caller:
        """A new user with a session."""
        return session_caller(self.project)

    def worker(self, name: str, concurrency: int = 2, **settings: str) -> Child:
        """A worker that takes jobs, started if it doesn't run. `settings` are environment variables."""
        if name not in self.workers or not self.workers[name].running:
            self.hire(name, concurrency, **settings).wait_ready()
        return self.workers[name]

    def hire(self, name: str, concurrency: int, **settings: str) -> Child:
        """A worker only just started, which may have died by now of what it took."""
        child = programs.worker(self.stack)
        child.name = name
        child.log = self.stack.state_dir / f"logs/{name}.log"
        child.argv = [*child.argv, "--concurrency", str(concurrency)]
        child.env = {**child.env, "ASSETDOCK_LEASE_SECONDS": str(LEASE_SECONDS), **settings}
        child.ready = lambda: "worker_started" in child.tail(500)
        self.workers[name] = child
        child.start()
        return child

    def rest(self) -> None:
        """Nobody works: hired workers go, and the ordinary one sleeps. Quicker than starting it anew."""
        for name in tuple(self.workers):
            if name != ORDINARY:
                child = self.workers.pop(name)
                child.kill()
                child.stop()
        if ORDINARY in self.workers and self.workers[ORDINARY].running:
            freeze(self.workers[ORDINARY])

    def work(self) -> Child:
        """The ordinary worker works."""
        child = self.worker(ORDINARY)
        thaw(child)
        return child

    def database(self) -> psycopg.Connection[Any]:
        """As superuser, committing each statement."""
        return psycopg.connect(self.stack.db_url, autocommit=True)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """What a query answers."""
        with self.database() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def reconcile(self, *arguments: str) -> "Reconciled":
        """What `python -m assetdock_server reconcile` does, in this process: starting one takes longer than the work."""
        settings = worker_settings(self.worker_environment)
        connection, report, summary = settings.connection, io.StringIO(), io.StringIO()

        async def run() -> int:
            async with http_pool() as pool:
                return await Reconciliation(
                    Postgrest(pool, url=connection.rest_url, publishable_key=connection.publishable_key),
                    Storage(pool, url=connection.storage_url, publishable_key=connection.publishable_key),
                    settings.token,
                ).run(repair="--repair" in arguments, report=report, summary=summary)

        return Reconciled.read(asyncio.run(run()), report.getvalue(), summary.getvalue())

    def reconcile_command(self, *arguments: str) -> "Reconciled":
        """`python -m assetdock_server reconcile` itself."""
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "assetdock_server", "reconcile", *arguments],
            env=self.worker_environment,
            cwd=PROJECT,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return Reconciled.read(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def object_file(self, asset_id: str) -> list[Path]:
        """Where the Storage stand-in keeps the bytes of an asset."""
        return [path for path in (self.stack.storage_dir).rglob("*") if path.is_file() and asset_id in str(path)]


@dataclass(frozen=True)
class Reconciled:
    """How a reconciliation ended: its exit code, its lines, its summary."""

    code: int
    found: list[Json]
    summary: str

    @classmethod
    def read(cls, code: int, report: str, summary: str) -> "Reconciled":
        return cls(code, [orjson.loads(line) for line in report.splitlines()], summary)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """What was found, and what came of it."""
        return sorted((line["kind"], line["outcome"]) for line in self.found)


@contextmanager
def running_site() -> Iterator[Site]:
    """A site without workers."""
    with temporary_state_directory() as directory, Stack(directory, Ports.free()) as stack:
        port = Ports.free().gateway
        service = programs.service(stack, port)
        # Tests are one owner who calls faster than any.
        service.env = {**service.env, "ASSETDOCK_RATE_LIMIT": "off"}
        site = Site(stack, service, port)
        try:
            service.start()
            service.wait_ready()
            yield site
        finally:
            site.rest()
            for worker in site.workers.values():
                worker.kill()
                worker.stop()
            service.stop()


def freeze(child: Child) -> None:
    """Stops a process as a laptop's lid does."""
    signal_group(child.pid, signal.SIGSTOP)


def thaw(child: Child) -> None:
    """Lets it go on."""
    signal_group(child.pid, signal.SIGCONT)


def soaking() -> bool:
    """Whether the long form was asked for."""
    return os.environ.get("SOAK") == "1"
