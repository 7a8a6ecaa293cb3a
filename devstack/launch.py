"""Runs a program that is stopped when its parent process exits.

``python launch.py <parent pid> <signal> <uid or -1> <gid or -1> <program> [argument…]``

A script and not a ``preexec_fn``, because Python code between fork and exec is unsafe in a process with threads.
The uid is set first, because Linux clears the parent-death signal when a process changes its uid.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal: int, uid: int, gid: int, argv: list[str]) -> None:
    """Replaces this process with ``argv``; never returns."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
        if os.getppid() != parent:  # the parent exited before prctl
            sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606


if __name__ == "__main__":
    parent, signal, uid, gid = map(int, sys.argv[1:5])
    main(parent, signal, uid, gid, sys.argv[5:])
