"""Starts a program under resource limits.

The limits must be set between fork and exec. `preexec_fn` may deadlock in a process with threads, so util-linux's
setpriv and the shell set them, for 2 ms of CPU.
"""

import os
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SHELL = "/bin/sh"
# The kernel kills the program when its parent exits, even by SIGKILL; setuid programs gain no privileges.
SETPRIV_OPTIONS = ("--no-new-privs", "--pdeathsig", "KILL", "--")
# A parent that exits before setpriv runs sends no signal, so the script compares $PPID. `ulimit` sets both limits of a
# resource; for CPU the soft limit comes first, so that SIGXCPU can be told from other signals.
SCRIPT = """\
[ "$PPID" = "$1" ] && ulimit -c 0 && ulimit -f 0 && ulimit -n "$2" && ulimit -St "$3" && ulimit -Ht "$4" || exit 127
[ "$5" = unlimited ] || ulimit -v "$5" || exit 127
shift 5
unset PWD OLDPWD SHLVL
while [ "$1" != -- ]; do export "$1"; shift; done
shift
exec "$@"
"""


@dataclass(frozen=True)
class ResourceLimits:
    """Limits that the kernel enforces on one process."""

    cpu_seconds: int
    memory_bytes: int  # of address space
    open_files: int


class MissingSetprivError(Exception):
    """This Linux has no setpriv of util-linux."""


def limited_command(command: Sequence[str], limits: ResourceLimits, environment: Mapping[str, str]) -> list[str]:
    """The command that sets `limits` and then executes `command` with exactly `environment`.

    Start it with an empty environment: variables such as LD_PRELOAD are for the program, not for setpriv and the shell.
    Raises MissingSetprivError.
    """
    numbers = (
        os.getpid(),
        _at_most(limits.open_files, resource.RLIMIT_NOFILE),
        _at_most(limits.cpu_seconds, resource.RLIMIT_CPU),
        _at_most(limits.cpu_seconds + 1, resource.RLIMIT_CPU),
        # macOS does not let a process lower its address space.
        _at_most(limits.memory_bytes, resource.RLIMIT_AS) // 1024 if sys.platform == "linux" else "unlimited",
    )
    assignments = [f"{name}={value}" for name, value in environment.items()]
    return [*_setpriv(), SHELL, "-c", SCRIPT, "sh", *map(str, numbers), *assignments, "--", *command]


def _setpriv() -> list[str]:
    """Only Linux can kill a process when its parent exits."""
    if sys.platform != "linux":
        return []
    path = shutil.which("setpriv")
    if path is None:
        raise MissingSetprivError("setpriv is missing. Install util-linux (apt-get install util-linux).")
    return [path, *SETPRIV_OPTIONS]


def _at_most(value: int, limit: int) -> int:
    """`value`, or the inherited hard limit if that is lower: only root can raise it."""
    _, inherited = resource.getrlimit(limit)
    return value if inherited == resource.RLIM_INFINITY else min(value, inherited)
