"""Lowers its own limits, then becomes the program it was given: the last thing that runs before ffprobe.

Run as a script (`python -I -S confine.py PARENT CPU MEMORY FILES PROGRAM [ARGUMENT …]`), never imported. It
is for machines without util-linux's setpriv (confinement.py).
"""

import ctypes
import os
import resource
import sys

SIGKILL = 9  # importing `signal` would cost as much as all of the rest
PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
CANNOT_START = 127  # what a shell, and the dynamic loader, answer when a program doesn't start


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when `parent` dies, even by SIGKILL. Only Linux offers it."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != parent:  # it died before prctl: the signal will never come
        os._exit(CANNOT_START)


def lower(limit: int, soft: int, hard: int | None = None) -> None:
    """Sets a limit, never above the hard limit that was inherited."""
    _, inherited = resource.getrlimit(limit)
    bounds = [value if inherited == resource.RLIM_INFINITY else min(value, inherited) for value in (soft, hard or soft)]
    resource.setrlimit(limit, (bounds[0], bounds[1]))


def main(arguments: list[str]) -> None:
    """Confines this process and replaces it. Doesn't return."""
    parent, cpu, memory, files = (int(argument) for argument in arguments[:4])
    program = arguments[4:]
    die_with_parent(parent)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_NOFILE, files)
    lower(resource.RLIMIT_CPU, cpu, cpu + 1)  # SIGXCPU first: it can be told from other deaths
    if sys.platform == "linux":  # macOS refuses to lower it
        lower(resource.RLIMIT_AS, memory)
    # Python adds LC_CTYPE to an empty environment (PEP 538).
    environment = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}
    try:
        os.execve(program[0], program, environment)  # noqa: S606 - no shell is the point
    except OSError as refused:
        os.write(2, f"cannot start {program[0]}: {refused.strerror}\n".encode())
        os._exit(CANNOT_START)


if __name__ == "__main__":
    main(sys.argv[1:])
