"""A whole installation on free ports. Tests can kill and restart each of its processes."""

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
LEASE_SECONDS = 5  # the shortest lease that is allowed, so that the jobs of a killed worker are available again soon


@dataclass
class Site:
    """A stack, a service and its workers. Start processes from the main thread: they end with their parent thread."""

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
        """A running worker, started if necessary. `settings` are environment variables."""
        if name not in self.workers or not self.workers[name].running:
            self.start_worker(name, concurrency, **settings).wait_ready()
        return self.workers[name]

    def start_worker(self, name: str, concurrency: int, **settings: str) -> Child:
        """Starts a worker without waiting until it is ready. Its first job may crash it."""
        child = programs.worker(self.stack)
        child.name = name
        child.log = self.stack.state_dir / f"logs/{name}.log"
        child.argv = [*child.argv, "--concurrency", str(concurrency)]
        child.env = {**child.env, "ASSETDOCK_LEASE_SECONDS": str(LEASE_SECONDS), **settings}
        child.ready = lambda: "worker_started" in child.tail(500)
        self.workers[name] = child
        child.start()
        return child

    def pause_workers(self) -> None:
        """Freezes the ordinary worker, which is quicker than restarting it, and kills all other workers."""
        for name in tuple(self.workers):
            if name != ORDINARY:
                child = self.workers.pop(name)
                child.kill()
                child.stop()
        if ORDINARY in self.workers and self.workers[ORDINARY].running:
            freeze(self.workers[ORDINARY])

    def run_worker(self) -> Child:
        """Starts or resumes the ordinary worker."""
        child = self.worker(ORDINARY)
        thaw(child)
        return child

    def database(self) -> psycopg.Connection[Any]:
        """A connection as superuser that commits each statement."""
        return psycopg.connect(self.stack.db_url, autocommit=True)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """The rows that a statement returns, or an empty list."""
        with self.database() as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def reconcile(self, *arguments: str) -> "Reconciled":
        """Runs `python -m assetdock_server reconcile` in this process, which is quicker than starting another one."""
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
        """Runs `python -m assetdock_server reconcile` as a command."""
        ended = subprocess.run(
            [sys.executable, "-W", "error", "-m", "assetdock_server", "reconcile", *arguments],
            env=self.worker_environment,
            cwd=PROJECT,
            capture_output=True,
            check=False,
            timeout=240,
        )
        return Reconciled.read(ended.returncode, ended.stdout.decode(), ended.stderr.decode())

    def object_files(self, asset_id: str) -> list[Path]:
        """The files in which the Storage stand-in keeps the bytes of an asset."""
        return [path for path in self.stack.storage_dir.rglob("*") if path.is_file() and asset_id in str(path)]


@dataclass(frozen=True)
class Reconciled:
    """The result of a reconciliation: exit code, discrepancies and summary."""

    code: int
    found: list[Json]
    summary: str

    @classmethod
    def read(cls, code: int, report: str, summary: str) -> "Reconciled":
        return cls(code, [orjson.loads(line) for line in report.splitlines()], summary)

    @property
    def kinds(self) -> list[tuple[str, str]]:
        """Kind and outcome of each discrepancy."""
        return sorted((line["kind"], line["outcome"]) for line in self.found)


@contextmanager
def running_site() -> Iterator[Site]:
    """A site without workers."""
    with temporary_state_directory() as directory, Stack(directory, Ports.free()) as stack:
        port = Ports.free().gateway
        service = programs.service(stack, port)
        # A test calls faster than any owner.
        service.env = {**service.env, "ASSETDOCK_RATE_LIMIT": "off"}
        site = Site(stack, service, port)
        try:
            service.start()
            service.wait_ready()
            yield site
        finally:
            site.pause_workers()
            for worker in site.workers.values():
                worker.kill()
                worker.stop()
            service.stop()


def freeze(child: Child) -> None:
    """Suspends a process, as closing a laptop's lid does."""
    signal_group(child.pid, signal.SIGSTOP)


def thaw(child: Child) -> None:
    """Resumes a frozen process."""
    signal_group(child.pid, signal.SIGCONT)


def soaking() -> bool:
    """Whether `make soak` runs the long form of the tests."""
    return os.environ.get("SOAK") == "1"
