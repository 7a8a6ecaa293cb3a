"""The servers of the request-path benchmark: upstreams, the service, the bare route and the peers."""

import os
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.serving.load import ToolMissingError
from bench.serving.owners import Owner, populate
from bench.serving.upstreams import Upstreams
from devstack import service as programs
from devstack.binaries import PROJECT
from devstack.child import Child
from devstack.ports import HOST, Ports
from devstack.stack import Stack

OWNERS = 200  # so many that each stays below the default limits
ASSETS_EACH = 25
RESPONSE_BYTES = 1_400  # about as many as POST /assets/upload-url returns


@dataclass(frozen=True)
class Server:
    """A measured server."""

    url: str
    child: Child

    @property
    def pid(self) -> int:
        """The process id; every server is a single process."""
        return self.child.pid


@dataclass(frozen=True)
class Testbed:
    """The running servers, and the owners in the database."""

    stack: Stack
    upstream_url: str
    postgrest_url: str
    owners: list[Owner]
    service: Server
    bare: Server
    fastapi: Server
    fastify: Server
    scratch: Path


@contextmanager
def testbed(state: Path) -> Iterator[Testbed]:
    """Starts the servers, and stops them at the end."""
    with Stack(state, Ports.free()) as stack:
        upstreams = Upstreams(stack)
        started: list[Child] = [upstreams.child]
        try:
            upstreams.child.start()
            upstreams.child.wait_ready()
            owners = populate(stack, f"{upstreams.url}/auth/v1", OWNERS, ASSETS_EACH)
            shared = {
                "PATH": os.environ["PATH"],
                "SUPABASE_URL": upstreams.url,
                "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            }

            def serve(name: str, argv: Callable[[int], list[str | Path]], env: dict[str, str]) -> Server:
                server = _server(stack, name, argv, env)
                started.append(server.child)
                server.child.start()
                server.child.wait_ready()
                return server

            port = Ports.free().gateway
            service = programs.service(stack, port)
            service.env = {**service.env, "SUPABASE_URL": upstreams.url}
            started.append(service)
            service.start()
            service.wait_ready()
            python = [sys.executable, "-m"]
            yield Testbed(
                stack=stack,
                upstream_url=upstreams.url,
                postgrest_url=f"http://{HOST}:{stack.ports.postgrest}",
                owners=owners,
                service=Server(f"http://{HOST}:{port}", service),
                bare=serve("bare", lambda p: [*python, "bench.serving.bare", str(p), str(RESPONSE_BYTES)], shared),
                fastapi=serve("fastapi", lambda p: [*python, "bench.peers.fastapi_peer", str(p)], shared),
                fastify=serve("fastify", lambda p: [_node(), PROJECT / "bench/peers/fastify_peer.mjs", str(p)], shared),
                scratch=state,
            )
        finally:
            for child in reversed(started):
                child.stop()


def _server(stack: Stack, name: str, argv: Callable[[int], list[str | Path]], env: dict[str, str]) -> Server:
    port = Ports.free().gateway
    url = f"http://{HOST}:{port}"
    child = Child(
        name,
        argv(port),
        log=stack.state_dir / f"logs/{name}.log",
        ready=lambda: _responds(url),
        env={**env, "PYTHONUNBUFFERED": "1"},
        cwd=PROJECT,
    )
    return Server(url, child)


def _responds(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True  # any response will do


def _node() -> Path:
    found = shutil.which("node")
    if found is None:
        raise ToolMissingError("The benchmark needs Node 20 or later on PATH.")
    return Path(found)
