"""The project's Edge Function, run by the Deno that the real ones run on."""

import json
import os
import urllib.request
from pathlib import Path

from devstack.binaries import PROJECT, find_deno
from devstack.child import Child
from devstack.errors import StackError
from devstack.keys import Keys
from devstack.ports import HOST, Ports

# What supabase/functions holds beside functions.
NOT_DEPLOYED = ("_", ".", "tests")


def function_of(directory: Path) -> str | None:
    """The one function of a project, None when it has none or there is no Deno to run it. Raises StackError
    for a second one: each would need a port of its own.
    """
    found = sorted(path.parent.name for path in (directory / "supabase/functions").glob("*/index.ts"))
    names = [name for name in found if not name.startswith(NOT_DEPLOYED)]
    if len(names) > 1:
        raise StackError(f"The local stack runs one Edge Function, not {names}: give each a port in devstack/ports.py.")
    return names[0] if names and find_deno() else None


def child(state_dir: Path, ports: Ports, keys: Keys, name: str) -> Child:
    """Without network but for the stack, and without files but its own: what it imports is in node_modules."""
    deno = find_deno()
    if deno is None:
        raise StackError("Deno was not found: run `make setup`, or install it and put it on PATH.")
    url = f"http://{HOST}:{ports.gateway}"
    options = ["--quiet", "--no-prompt", "--no-remote", "--cached-only", "--no-lock", "--node-modules-dir=manual"]
    return Child(
        "functions",
        [deno, "run", *options, f"--allow-net={HOST}", "--allow-env", "index.ts"],
        log=state_dir / "logs/functions.log",
        env={
            "PATH": os.environ.get("PATH", ""),
            "HOME": os.environ.get("HOME", "/"),
            "DENO_DIR": str(PROJECT / "node_modules/.cache/deno"),
            "DENO_NO_UPDATE_CHECK": "1",
            "DENO_SERVE_ADDRESS": f"tcp:{HOST}:{ports.functions}",
            "NO_COLOR": "1",
            "SUPABASE_URL": url,
            "SUPABASE_PUBLISHABLE_KEYS": json.dumps({"default": keys.publishable_key}),
        },
        cwd=PROJECT / "supabase/functions" / name,
        ready=lambda: _answers(ports.functions),
    )


def _answers(port: int) -> bool:
    preflight = urllib.request.Request(f"http://{HOST}:{port}/", method="OPTIONS")
    with urllib.request.urlopen(preflight, timeout=2) as answer:  # noqa: S310 - our own http
        return bool(answer.status < 500)
