"""The whole of it: started in order, stopped in reverse."""

import fcntl
import json
import os
import sys
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import IO

import httpx
import psycopg

from devstack import functions, migrations, postgres, postgrest
from devstack.binaries import PROJECT
from devstack.child import Child, end_leftover
from devstack.errors import StackError
from devstack.keys import Keys
from devstack.ports import HOST, Ports
from devstack.postgres import DefaultGrants, Postgres
from devstack.postgres_home import data_directories
from devstack.project import Project
from devstack.storage.tokens import DEFAULT_UPLOAD_SECONDS


class Stack:
    """A Supabase of one's own, in one directory.

    ``with Stack(directory, Ports.free()) as stack:`` gives a running one with the project's migrations
    applied. Start it from a thread that lives as long as the stack: on Linux its processes die with that
    thread.
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
        """``default_grants`` is decided when the database is first created. ``jwt_secret``: sign sessions
        with HS256, as a legacy project. ``project`` None is this repository; ``Project()`` is an empty one.
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
            raise StackError("The stack has no keys before it is started.")
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
        """The private JWK, as the JSON that SUPABASE_SIGNING_KEY takes."""
        return json.dumps(self.keys.signing_jwk, separators=(",", ":"))

    @property
    def db_url(self) -> str:
        """The superuser's."""
        return postgres.url(self.ports.postgres)

    @property
    def postgres_db_url(self) -> str:
        """That of `postgres`, who runs migrations and is no superuser."""
        return postgres.url(self.ports.postgres, "postgres")

    @property
    def storage_dir(self) -> Path:
        return self.state_dir / "storage"

    def claim(self) -> None:
        """Takes the state directory, ends what an earlier run left running in it, and sees that the ports
        are free.

        The first part of ``start``. Raises StackError.
        """
        self.state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        if os.geteuid() == 0:
            self.state_dir.chmod(0o711)  # Postgres runs as somebody else, and must pass through
        self._lock = lock(self.state_dir)
        end_leftovers(self.state_dir)
        self.ports.require_free()

    def start(self) -> None:
        """Returns when every part answers. Raises StackError, having stopped what had started."""
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
        behind = [rest]
        if self.project.function is not None:
            behind.append(functions.child(self.state_dir, self.ports, self.keys, self.project.function))
        for child in (*behind, self._gateway()):
            self.children[child.name] = child
            child.start()
        for child in (*behind, self.children["gateway"]):
            child.wait_ready()
        for name, properties in self.project.buckets.items():
            self.create_bucket(name, properties)

    def stop(self) -> None:
        """Stops what runs, last started first. Does nothing when nothing does."""
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
        """Creates a bucket through Storage's API; one that exists is left as it is. Raises StackError."""
        answer = httpx.post(
            f"{self.supabase_url}/storage/v1/bucket",
            headers={"apikey": self.secret_key},
            json={"id": name, "name": name, **properties},
            timeout=30,
            trust_env=False,
        )
        if answer.status_code != 200 and answer.json().get("code") != "BucketAlreadyExists":
            raise StackError(f"The bucket {name!r} could not be created: {answer.text}")

    def _schemas(self) -> tuple[str, ...]:
        """Those that exist: PostgREST would never be ready for a schema that no migration has made yet."""
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
            ready=self._gateway_answers,
        )

    def _gateway_answers(self) -> bool:
        with urllib.request.urlopen(f"{self.supabase_url}/health", timeout=2) as answer:  # noqa: S310 - our own http
            return bool(answer.status == 200)


def end_leftovers(state_dir: Path) -> None:
    """Ends every process that a stack in this directory left running. To be called with its lock held."""
    for data in data_directories(state_dir):
        postgres.end_orphan(data)
    for pid_file in state_dir.glob("logs/*.pid"):
        end_leftover(pid_file)


def lock(state_dir: Path) -> IO[str]:
    """Holds the state directory until the answer is closed or its process ends. Raises StackError when it
    is held.
    """
    file = (state_dir / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StackError(f"A stack is running in {state_dir}: stop it first, or choose another --state.") from error
    return file
