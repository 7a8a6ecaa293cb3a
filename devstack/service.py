"""The project's own processes, run against the stack: the service and its worker."""

import os
import sys
import time
import urllib.request
from collections.abc import Callable

import psycopg

from devstack.binaries import PROJECT
from devstack.child import Child
from devstack.ports import HOST
from devstack.stack import Stack

YEAR = 365 * 24 * 3600


def worker_token(stack: Stack) -> str:
    """What lets a worker in: a role of its own, and no key to sign anything with."""
    now = int(time.time())
    return stack.keys.sign_es256(
        {"role": "assetdock_worker", "aud": "authenticated", "iss": "assetdock", "iat": now, "exp": now + YEAR}
    )


def service(stack: Stack, port: int) -> Child:
    secret = {"SUPABASE_JWT_SECRET": stack.keys.jwt_secret} if stack.keys.jwt_secret else {}
    return _child(
        stack,
        "service",
        "serve",
        {
            "SUPABASE_SIGNING_KEY": stack.signing_key,
            "HOST": HOST,
            "PORT": str(port),
            **secret,
        },
        lambda: _answers(port),
    )


def worker(stack: Stack) -> Child:
    let_webhooks_stay_here(stack)
    return _child(stack, "worker", "worker", {"SUPABASE_WORKER_TOKEN": worker_token(stack)}, lambda: True)


def let_webhooks_stay_here(stack: Stack) -> None:
    """Whoever tries webhooks out has the receiver on this machine, without TLS. On a server that would be a hole."""
    with psycopg.connect(stack.db_url) as connection:
        connection.execute("update assetdock_private.settings set loopback_webhooks = true where the_only_row")


def _child(stack: Stack, name: str, command: str, settings: dict[str, str], ready: Callable[[], bool]) -> Child:
    return Child(
        name,
        [sys.executable, "-m", "assetdock_server", command],
        log=stack.state_dir / f"logs/{name}.log",
        env={
            **_plain_environment(),
            "PYTHONUNBUFFERED": "1",
            "SUPABASE_URL": stack.supabase_url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            **settings,
        },
        cwd=PROJECT,
        ready=ready,
        stop_seconds=30,
    )


def _plain_environment() -> dict[str, str]:
    """Ours, less what would point the service at another Supabase."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE_")}


def _answers(port: int) -> bool:
    with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=2) as answer:
        return bool(answer.status == 200)
