"""Runs the project's Edge Function with Deno."""

import json
import os
from pathlib import Path

from devstack.binaries import PROJECT, find_deno
from devstack.child import Child, responds
from devstack.errors import StackError
from devstack.keys import Keys
from devstack.ports import HOST, Ports

# Name prefixes in supabase/functions that are not functions.
IGNORED_PREFIXES = ("_", ".", "tests")


def function_of(directory: Path) -> str | None:
    """The name of the project's function, or None without a function or without Deno. Raises StackError for more than
    one function, because each needs a port of its own.
    """
    found = sorted(path.parent.name for path in (directory / "supabase/functions").glob("*/index.ts"))
    names = [name for name in found if not name.startswith(IGNORED_PREFIXES)]
    if len(names) > 1:
        raise StackError(f"The local stack runs one Edge Function, not {names}: give each a port in devstack/ports.py.")
    return names[0] if names and find_deno() else None


def child(state_dir: Path, ports: Ports, keys: Keys, name: str) -> Child:
    """The Deno process. It can connect to the stack only, and reads only its own files and node_modules."""
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
        ready=lambda: responds(f"http://{HOST}:{ports.functions}/", "OPTIONS"),
    )
