"""Everything the request path is measured on: upstreams, our service as it is shipped, the floor's route, the peers."""

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

OWNERS = 200  # each stays below its limits, which are the shipped ones
ASSETS_EACH = 25
ANSWER_BYTES = 1_400  # of a POST upload-url, about


@dataclass(frozen=True)
class Served:
    """A server under measurement."""

    url: str
    child: Child

    @property
    def pid(self) -> int:
        """The one process that serves; every server here is one."""
        return self.child.pid


@dataclass(frozen=True)
class Site:
    """Where everything answers."""

    stack: Stack
    upstream_url: str
    postgrest_url: str
    owners: list[Owner]
    service: Served
    bare: Served
    fastapi: Served
    fastify: Served
    scratch: Path


@contextmanager
def site(state: Path) -> Iterator[Site]:
    """A running one, stopped afterwards, whatever happens."""
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

            def serve(name: str, argv: Callable[[int], list[str | Path]], env: dict[str, str]) -> Served:
                served = _served(stack, name, argv, env)
                started.append(served.child)
                served.child.start()
                served.child.wait_ready()
                return served

            port = Ports.free().gateway
            ours = programs.service(stack, port)
            # As shipped, only behind other upstreams.
            ours.env = {**ours.env, "SUPABASE_URL": upstreams.url}
            started.append(ours)
            ours.start()
            ours.wait_ready()
            python = [sys.executable, "-m"]
            yield Site(
                stack=stack,
                upstream_url=upstreams.url,
                postgrest_url=f"http://{HOST}:{stack.ports.postgrest}",
                owners=owners,
                service=Served(f"http://{HOST}:{port}", ours),
                bare=serve("bare", lambda p: [*python, "bench.serving.bare", str(p), str(ANSWER_BYTES)], shared),
                fastapi=serve("fastapi", lambda p: [*python, "bench.peers.fastapi_peer", str(p)], shared),
                fastify=serve("fastify", lambda p: [_node(), PROJECT / "bench/peers/fastify_peer.mjs", str(p)], shared),
                scratch=state,
            )
        finally:
            for child in reversed(started):
                child.stop()


def _served(stack: Stack, name: str, argv: Callable[[int], list[str | Path]], env: dict[str, str]) -> Served:
    port = Ports.free().gateway
    url = f"http://{HOST}:{port}"
    child = Child(
        name,
        argv(port),
        log=stack.state_dir / f"logs/{name}.log",
        ready=lambda: _answers(url),
        env={**env, "PYTHONUNBUFFERED": "1"},
        cwd=PROJECT,
    )
    return Served(url, child)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError:
        return True  # it answers, if only that there is nothing here


def _node() -> Path:
    found = shutil.which("node")
    if found is None:
        raise ToolMissingError("The benchmark needs Node 20 or later on PATH.")
    return Path(found)
