"""An Assetdock installation to measure: a stack, a service, workers and users, with default settings."""

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
TIMEOUT = httpx.Timeout(120, connect=10)


class BenchError(Exception):
    """The benchmark can't run, because something it depends on failed."""


@dataclass
class Owner:
    """A signed-in user who uploads through the API."""

    api: httpx.Client
    storage: httpx.Client

    def reserve(self, **fields: Any) -> Json:
        """POST /assets/upload-url; returns `{asset, upload}`. Raises BenchError."""
        reservation: Json = expect(self.api.post("/assets/upload-url", json=fields), 201).json()
        return reservation

    def land(self, file: Path, **fields: Any) -> str:
        """Uploads a file with PUT and returns the asset's id. Raises BenchError."""
        reservation = self.reserve(size_bytes=file.stat().st_size, **fields)
        upload = reservation["upload"]
        with file.open("rb") as data:
            expect(self.storage.put(upload["url"], headers=upload["headers"], content=data), 200)
        return str(reservation["asset"]["id"])


@dataclass
class Installation:
    """A running installation. `worker` starts workers, which stop with the installation."""

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
            secret, publishable = {"apikey": self.stack.secret_key}, {"apikey": self.stack.publishable_key}
            expect(auth.post("/admin/users", headers=secret, json={**account, "email_confirm": True}), 200)
            session = expect(
                auth.post("/token", params={"grant_type": "password"}, headers=publishable, json=account), 200
            ).json()
        api = self._client(f"{self.api_url}/api/v1", {"Authorization": f"Bearer {session['access_token']}"})
        return Owner(api, self._client(self.stack.supabase_url))

    def worker(self, name: str, *arguments: str, supabase_url: str | None = None) -> Child:
        """Starts a worker and waits until it listens to the queue. Raises StackError."""
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
        """Runs a query as superuser in its own transaction. One connection serves all queries, because opening
        connections would cost Postgres more than the work that is measured."""
        if self._database is None:
            self._database = psycopg.connect(self.stack.db_url, autocommit=True)
        return self._database.execute(query, parameters).fetchall()

    def download_urls(self, asset_ids: Sequence[str]) -> list[str]:
        """Signed URLs from Storage, as the worker gets them, in the order of the assets. Raises BenchError."""
        with self._client(f"{self.stack.supabase_url}/storage/v1", {"apikey": self.stack.secret_key}) as storage:
            response = storage.post("/object/sign/assets", json={"expiresIn": 3600, "paths": list(asset_ids)})
        return [f"{self.stack.supabase_url}/storage/v1{each['signedURL']}" for each in expect(response, 200).json()]

    def delete_files(self, asset_ids: Sequence[str]) -> None:
        """Deletes the files of these assets from the disk, without a request to Storage."""
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
        client = httpx.Client(base_url=base_url, headers=headers, timeout=TIMEOUT, trust_env=False)
        self._clients.append(client)
        return client


@contextmanager
def running() -> Iterator[Installation]:
    """An installation without workers, on free ports, in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="assetdock-bench-"))
    directory.chmod(0o711)  # Postgres runs as another user when this process is root
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
    """Sends SIGSTOP to the process group."""
    signal_group(child.pid, signal.SIGSTOP)


def resume(child: Child) -> None:
    """Sends SIGCONT to the process group."""
    signal_group(child.pid, signal.SIGCONT)


def expect(response: httpx.Response, status: int) -> httpx.Response:
    """Returns the response if it has this status. Raises BenchError."""
    if response.status_code != status:
        request = response.request
        raise BenchError(f"{request.method} {request.url.path}: {response.status_code} {response.text[:300]}")
    return response
