"""The whole stack: started in order, stopped in reverse order."""

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx
import psycopg

from devstack import edge_functions, migrations, postgres, postgrest
from devstack.binaries import PROJECT
from devstack.child import Child, responds, stop_orphan
from devstack.errors import StackError
from devstack.keys import Keys
from devstack.ports import HOST, Ports
from devstack.postgres import DefaultGrants, Postgres
from devstack.postgres_home import data_directories
from devstack.project import Project
from devstack.state_directory import lock
from devstack.storage.tokens import DEFAULT_UPLOAD_SECONDS


class Stack:
    """A local Supabase in one directory.

    ``with Stack(directory, Ports.free()) as stack:`` starts it and applies the project's migrations. Start it from a
    thread that runs as long as the stack: on Linux its processes are stopped when that thread ends.
    """

    def __init__(
        self,
        state_dir: Path,
        ports: Ports,
        *,
        default_grants: DefaultGrants = "explicit",
        jwt_secret: str | None = None,
        project: Project | None = None,
        upload_url_seconds: int = DEFAULT_UPLOAD_SECONDS,
    ) -> None:
        """``default_grants`` is fixed when the database is created. ``jwt_secret``: sign sessions with HS256, like a
        legacy project. ``project`` None is this repository; ``Project()`` is an empty project.
        """
        self.state_dir = state_dir.absolute()
        self.ports = ports
        self.default_grants: DefaultGrants = default_grants
        self.jwt_secret = jwt_secret
        self.project = Project.read() if project is None else project
        self.upload_url_seconds = upload_url_seconds
        self.children: dict[str, Child] = {}
        self._lock: IO[str] | None = None
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys:
        if self._keys is None:
            raise StackError("The stack has no keys until it is started.")
        return self._keys

    @property
    def supabase_url(self) -> str:
        return f"http://{HOST}:{self.ports.gateway}"

    @property
    def publishable_key(self) -> str:
        return self.keys.publishable_key

    @property
    def secret_key(self) -> str:
        return self.keys.secret_key

    @property
    def signing_key(self) -> str:
        """The private JWK as JSON, the value of SUPABASE_SIGNING_KEY."""
        return json.dumps(self.keys.signing_jwk, separators=(",", ":"))

    @property
    def db_url(self) -> str:
        """Connects as the superuser."""
        return postgres.url(self.ports.postgres)

    @property
    def postgres_db_url(self) -> str:
        """Connects as `postgres`, which runs migrations and is not a superuser."""
        return postgres.url(self.ports.postgres, "postgres")

    @property
    def storage_dir(self) -> Path:
        return self.state_dir / "storage"

    def claim(self) -> None:
        """Locks the state directory, stops orphans of an earlier run and checks that the ports are free.

        The first part of ``start``. Raises StackError.
        """
        self.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.state_dir.chmod(0o711)  # Postgres runs as another user, who must traverse it
        self._lock = lock(self.state_dir)
        stop_orphans(self.state_dir)
        self.ports.require_free()

    def start(self) -> None:
        """Returns when every process is ready. Raises StackError after stopping the processes that had started."""
        try:
            if self._lock is None:
                self.claim()
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._keys = Keys.of(self.state_dir, self.jwt_secret)
        database = Postgres(self.state_dir, self.ports.postgres, self.default_grants)
        self.children["postgres"] = database.child
        database.start()
        if self.project.migrations is not None:
            migrations.apply(self.postgres_db_url, self.project.migrations)
        rest = postgrest.child(self.state_dir, self.ports, self.keys.verifying_jwks, self._schemas())
        upstreams = [rest]
        if self.project.function is not None:
            upstreams.append(edge_functions.child(self.state_dir, self.ports, self.keys, self.project.function))
        for child in (*upstreams, self._gateway()):
            self.children[child.name] = child
            child.start()
        for child in (*upstreams, self.children["gateway"]):
            child.wait_ready()
        for name, properties in self.project.buckets.items():
            self.create_bucket(name, properties)

    def stop(self) -> None:
        """Stops the running processes in reverse order of their start."""
        for child in reversed(self.children.values()):
            child.stop()
        self.children.clear()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> "Stack":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def create_bucket(self, name: str, properties: dict[str, object]) -> None:
        """Creates a bucket through Storage's API; an existing bucket is not changed. Raises StackError."""
        response = httpx.post(
            f"{self.supabase_url}/storage/v1/bucket",
            headers={"apikey": self.secret_key},
            json={"id": name, "name": name, **properties},
            timeout=30,
            trust_env=False,
        )
        if response.status_code != 200 and response.json().get("code") != "BucketAlreadyExists":
            raise StackError(f"The bucket {name!r} could not be created: {response.text}")

    def _schemas(self) -> tuple[str, ...]:
        """The project's schemas that exist; PostgREST would never be ready with a missing schema."""
        with psycopg.connect(self.db_url) as connection:
            rows = connection.execute(
                "select nspname from pg_namespace where nspname = any (%s)", [list(self.project.schemas)]
            ).fetchall()
        existing = {name for (name,) in rows}
        return tuple(schema for schema in self.project.schemas if schema in existing)

    def _gateway(self) -> Child:
        arguments = {
            "state": self.state_dir,
            "port": self.ports.gateway,
            "postgres-port": self.ports.postgres,
            "postgrest-port": self.ports.postgrest,
            "functions-port": self.ports.functions,
            **({"function": self.project.function} if self.project.function else {}),
            "upload-url-seconds": self.upload_url_seconds,
            "size-limit": self.project.size_limit,
        }
        options = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
        return Child(
            "gateway",
            [sys.executable, "-m", "devstack.gateway", *options],
            log=self.state_dir / "logs/gateway.log",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            cwd=PROJECT,
            ready=lambda: responds(f"{self.supabase_url}/health"),
        )


def stop_orphans(state_dir: Path) -> None:
    """Stops every process that an earlier stack in this directory left running. Requires the lock."""
    for data in data_directories(state_dir):
        postgres.stop_orphaned_server(data)
    for pid_file in state_dir.glob("logs/*.pid"):
        stop_orphan(pid_file)
