"""A whole Assetdock to measure: a stack, a service, workers and users, all with the settings they are shipped with."""

import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from devstack import service as programs
from devstack.child import Child, signal_group
from devstack.ports import HOST, Ports
from devstack.stack import Stack

Json = dict[str, Any]
PATIENCE = httpx.Timeout(120, connect=10)


class BenchError(Exception):
    """Something that has to work before anything can be measured doesn't."""


@dataclass
class Owner:
    """A user who is signed in, and uploads through the API."""

    api: httpx.Client
    storage: httpx.Client

    def reserve(self, **fields: Any) -> Json:
        """POST /assets/upload-url: `{asset, upload}`. Raises BenchError."""
        document: Json = expect(self.api.post("/assets/upload-url", json=fields), 201).json()
        return document

    def land(self, file: Path, **fields: Any) -> str:
        """Reserves, uploads by PUT, and gives the asset's id. Raises BenchError."""
        reservation = self.reserve(size_bytes=file.stat().st_size, **fields)
        upload = reservation["upload"]
        with file.open("rb") as data:
            expect(self.storage.put(upload["url"], headers=upload["headers"], content=data), 200)
        return str(reservation["asset"]["id"])


@dataclass
class Installation:
    """What runs. Workers are started as they are asked for, and end with it."""

    stack: Stack
    service: Child
    api_url: str
    _database: psycopg.Connection[Any] | None = None
    _clients: list[httpx.Client] = field(default_factory=list)
    _workers: list[Child] = field(default_factory=list)

    def owner(self) -> Owner:
        """A new user with a session."""
        email, password = f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
        with self._client(f"{self.stack.supabase_url}/auth/v1") as auth:
            account = {"email": email, "password": password}
            secret, public = {"apikey": self.stack.secret_key}, {"apikey": self.stack.publishable_key}
            expect(auth.post("/admin/users", headers=secret, json={**account, "email_confirm": True}), 200)
            session = expect(
                auth.post("/token", params={"grant_type": "password"}, headers=public, json=account), 200
            ).json()
        api = self._client(f"{self.api_url}/api/v1", {"Authorization": f"Bearer {session['access_token']}"})
        return Owner(api, self._client(self.stack.supabase_url))

    def worker(self, name: str, *arguments: str, supabase_url: str | None = None) -> Child:
        """A worker of its own, started and listening to the queue. Raises StackError."""
        child = programs.worker(self.stack)
        child.name = name
        child.log = self.stack.state_dir / f"logs/{name}.log"
        child.argv = [*child.argv, *arguments]
        child.env = {**child.env, **({"SUPABASE_URL": supabase_url} if supabase_url else {})}
        child.ready = lambda: "worker_started" in child.tail(500)
        self._workers.append(child)
        child.start()
        child.wait_ready()
        return child

    def rows(self, query: str, *parameters: object) -> list[Any]:
        """What a query answers, asked as superuser in a transaction of its own, on one connection: opening another
        for each question would cost Postgres more than what is measured."""
        if self._database is None:
            self._database = psycopg.connect(self.stack.db_url, autocommit=True)
        return self._database.execute(query, parameters).fetchall()

    def download_urls(self, asset_ids: Sequence[str]) -> list[str]:
        """URLs as the worker gets them, from Storage, in the order of the assets. Raises BenchError."""
        with self._client(f"{self.stack.supabase_url}/storage/v1", {"apikey": self.stack.secret_key}) as storage:
            answer = storage.post("/object/sign/assets", json={"expiresIn": 3600, "paths": list(asset_ids)})
        return [f"{self.stack.supabase_url}/storage/v1{each['signedURL']}" for each in expect(answer, 200).json()]

    def delete_files(self, asset_ids: Sequence[str]) -> None:
        """Takes the files of these assets off the disk behind Storage's back; nothing reads them any more."""
        for asset_id in asset_ids:
            for folder in self.stack.storage_dir.glob(f"assets/{asset_id}"):
                shutil.rmtree(folder)

    def close(self) -> None:
        """Ends workers and clients."""
        if self._database is not None:
            self._database.close()
        for client in self._clients:
            client.close()
        for worker in self._workers:
            resume(worker)
            worker.stop()

    def _client(self, base_url: str, headers: dict[str, str] | None = None) -> httpx.Client:
        client = httpx.Client(base_url=base_url, headers=headers, timeout=PATIENCE, trust_env=False)
        self._clients.append(client)
        return client


@contextmanager
def running() -> Iterator[Installation]:
    """An installation without workers, on free ports, in a directory that goes away again."""
    directory = Path(tempfile.mkdtemp(prefix="assetdock-bench-"))
    directory.chmod(0o711)  # Postgres, which refuses root, must pass through
    try:
        with Stack(directory, Ports.free()) as stack:
            port = Ports.free().gateway
            service = programs.service(stack, port)
            installation = Installation(stack, service, f"http://{HOST}:{port}")
            try:
                service.start()
                service.wait_ready()
                yield installation
            finally:
                installation.close()
                service.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def suspend(child: Child) -> None:
    """Suspends a process where it stands."""
    signal_group(child.pid, signal.SIGSTOP)


def resume(child: Child) -> None:
    """Lets it go on."""
    signal_group(child.pid, signal.SIGCONT)


def expect(answer: httpx.Response, status: int) -> httpx.Response:
    """The answer, if it has this status. Raises BenchError."""
    if answer.status_code != status:
        raise BenchError(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:300]}")
    return answer
