"""Counts the memory allocations of a request: `python -m tests.service.allocations METHOD PATH BODY`.

Runs in its own process, so that only the application allocates memory. Calls the ASGI application without a server; its
upstream always sends the same responses. Prints a JSON array: allocations per request, and memory blocks retained per
request.
"""

import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import memray
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from memray._memray import compute_statistics
from starlette.applications import Starlette

from assetdock_server.app import create_app
from assetdock_server.config import service_settings
from assetdock_server.identity import api_key
from assetdock_server.observability import configure_logging

UPSTREAM = Path(__file__).with_name("fixed_upstream.py")
REQUESTS = 400


def scope_of(method: str, path: str, body: bytes, key: str) -> dict[str, Any]:
    """Returns the ASGI scope that a server would pass to the application."""
    headers = {
        "host": "assetdock.test",
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 5),
        "scheme": "http",
        "method": method,
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "state": {},
    }


async def send_requests(app: Starlette, method: str, path: str, body: bytes, key: str) -> None:
    """Sends the same request REQUESTS times in sequence."""
    statuses = set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    for _ in range(REQUESTS):
        await app(scope_of(method, path, body, key), receive, send)
    assert statuses <= {200, 201}, statuses


async def measure(app: Starlette, method: str, path: str, body: bytes) -> tuple[float, float]:
    """Returns the number of allocations, and of retained memory blocks, per request."""
    key = api_key.make().plaintext
    async with app.router.lifespan_context(app):
        await send_requests(app, method, path, body, key)
        # Measures twice and reports the second: the tracker itself retains memory on its first use.
        for _ in range(2):
            with tempfile.TemporaryDirectory() as directory:
                file = Path(directory, "allocations")
                gc.collect()
                before = sys.getallocatedblocks()
                with memray.Tracker(file, trace_python_allocators=True):
                    await send_requests(app, method, path, body, key)
                gc.collect()
                retained = sys.getallocatedblocks() - before
                allocations = compute_statistics(str(file)).total_num_allocations
        return allocations / REQUESTS, retained / REQUESTS


def main(method: str, path: str, body: str) -> None:
    """Starts the upstream, measures the application and prints the result."""
    jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    with subprocess.Popen([sys.executable, UPSTREAM], stdout=subprocess.PIPE, text=True) as upstream:
        try:
            assert upstream.stdout is not None
            settings = service_settings(
                {
                    "SUPABASE_URL": f"http://127.0.0.1:{upstream.stdout.readline().strip()}",
                    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_none",
                    "SUPABASE_SIGNING_KEY": json.dumps({**jwk, "kid": "test"}),
                    "ASSETDOCK_RATE_LIMIT": "1000000",
                }
            )
            configure_logging(settings.log_level)
            print(json.dumps(uvloop.run(measure(create_app(settings), method, path, body.encode()))))
        finally:
            upstream.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
