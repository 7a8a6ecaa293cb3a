"""The real Supabase CLI, run on this project's migrations."""

import os
import subprocess
from pathlib import Path

from devstack.binaries import PROJECT, find_supabase
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory


def push(stack: Stack, project: Path = PROJECT) -> subprocess.CompletedProcess[str]:
    """`supabase db push` of a project into a stack. `stdout` holds all output. The caller checks `returncode`."""
    with temporary_state_directory() as home:
        return subprocess.run(
            [find_supabase(), "db", "push", "--db-url", f"{stack.postgres_db_url}?sslmode=disable", "--yes"],
            cwd=project,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "SUPABASE_TELEMETRY_DISABLED": "1", "NO_COLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
