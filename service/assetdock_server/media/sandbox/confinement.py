"""How a program is started within its limits: by whom they are lowered between fork and exec.

Code there (`preexec_fn`) may deadlock in a parent that has threads, so it takes another program. util-linux's setpriv
and the shell do it in 2 ms of CPU; where setpriv is another one or missing (macOS, BusyBox), confine.py does the same
in 15, most of which is Python's start.
"""

import functools
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CONFINE = Path(__file__).with_name("confine.py")
SHELL = "/bin/sh"
# Dies with its parent, even by SIGKILL, and gains nothing by programs with the setuid bit.
SETPRIV = ("--no-new-privs", "--pdeathsig", "KILL", "--")
# A parent that died before the signal was asked for sends none. `ulimit` lowers the soft and the hard limit; the CPU's
# soft one comes first, for a hard one below it is refused. SIGXCPU, before SIGKILL, can be told from other deaths.
SCRIPT = """\
[ "$PPID" = "$1" ] && ulimit -c 0 && ulimit -f 0 && ulimit -n "$2" && ulimit -St "$3" && ulimit -Ht "$4" \
&& ulimit -v "$5" || exit 127
shift 5
unset PWD OLDPWD SHLVL
while [ "$1" != -- ]; do export "$1"; shift; done
shift
exec "$@"
"""


@dataclass(frozen=True)
class Bounds:
    """What the kernel holds a program to."""

    cpu_seconds: int
    memory_bytes: int  # of address space
    open_files: int


def confined(
    command: Sequence[str], bounds: Bounds, environment: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """What to start, and with which environment, so that it becomes `command` with `environment` and nothing else."""
    setpriv = find_setpriv()
    if setpriv is None:
        limits = (os.getpid(), bounds.cpu_seconds, bounds.memory_bytes, bounds.open_files)
        return [sys.executable, "-I", "-S", str(CONFINE), *map(str, limits), *command], dict(environment)
    # What is meant for the program, such as libraries to load first, is not for those that start it.
    return _by_shell(setpriv, bounds, environment, command), {}


def _by_shell(setpriv: str, bounds: Bounds, environment: Mapping[str, str], command: Sequence[str]) -> list[str]:
    limits = (
        os.getpid(),
        _at_most(bounds.open_files, resource.RLIMIT_NOFILE),
        _at_most(bounds.cpu_seconds, resource.RLIMIT_CPU),
        _at_most(bounds.cpu_seconds + 1, resource.RLIMIT_CPU),
        _at_most(bounds.memory_bytes, resource.RLIMIT_AS) // 1024,
    )
    assigned = [f"{name}={value}" for name, value in environment.items()]
    return [setpriv, *SETPRIV, SHELL, "-c", SCRIPT, "sh", *map(str, limits), *assigned, "--", *command]


@functools.cache
def find_setpriv() -> str | None:
    """util-linux's setpriv, if it is there, and it and the shell may do here what they are for."""
    path = shutil.which("setpriv")
    if path is None or sys.platform != "linux":
        return None
    trial = _by_shell(path, Bounds(cpu_seconds=10, memory_bytes=2**29, open_files=32), {}, [SHELL, "-c", ":"])
    tried = subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, env={}, check=False)
    return path if tried.returncode == 0 else None


def _at_most(value: int, limit: int) -> int:
    """`value`, or the hard limit that was inherited, which none but root could raise."""
    _, inherited = resource.getrlimit(limit)
    return value if inherited == resource.RLIM_INFINITY else min(value, inherited)
