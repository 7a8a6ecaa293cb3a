"""The processes of Assetdock itself: the service and the worker."""

import os
import sys
import time
from collections.abc import Callable

import psycopg

from devstack.binaries import PROJECT
from devstack.child import Child, responds
from devstack.ports import HOST
from devstack.stack import Stack

YEAR = 365 * 24 * 3600


def worker_token(stack: Stack) -> str:
    """A JWT with the worker's role."""
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
        lambda: responds(f"http://{HOST}:{port}/healthz"),
    )


def worker(stack: Stack) -> Child:
    allow_loopback_webhooks(stack)
    return _child(stack, "worker", "worker", {"SUPABASE_WORKER_TOKEN": worker_token(stack)}, lambda: True)


def allow_loopback_webhooks(stack: Stack) -> None:
    """Allows webhook receivers on this machine without TLS. In production this would be a security hole."""
    with psycopg.connect(stack.db_url) as connection:
        connection.execute("update assetdock_private.settings set loopback_webhooks = true where singleton")


def _child(stack: Stack, name: str, command: str, settings: dict[str, str], ready: Callable[[], bool]) -> Child:
    return Child(
        name,
        [sys.executable, "-m", "assetdock_server", command],
        log=stack.state_dir / f"logs/{name}.log",
        env={
            **_environment_without_supabase(),
            "PYTHONUNBUFFERED": "1",
            "SUPABASE_URL": stack.supabase_url,
            "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
            **settings,
        },
        cwd=PROJECT,
        ready=ready,
        stop_seconds=30,
    )


def _environment_without_supabase() -> dict[str, str]:
    """Our environment without variables that name another Supabase project."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SUPABASE_")}
