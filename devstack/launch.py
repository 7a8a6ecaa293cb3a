"""Becomes the program it is told to run, having first tied its life to its parent's.

``python launch.py <parent pid> <signal> <uid or -1> <gid or -1> <program> [argument…]``

A script of its own, not a ``preexec_fn``: Python code between fork and exec is unsafe in a process with
threads. The order matters: Linux forgets the parent-death signal when a process changes its uid.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, signal: int, uid: int, gid: int, argv: list[str]) -> None:
    """Never returns: this process becomes ``argv``."""
    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal)
        if os.getppid() != parent:  # it died before we could ask to be told
            sys.exit(1)
    os.execv(argv[0], argv)  # noqa: S606


if __name__ == "__main__":
    parent, signal, uid, gid = map(int, sys.argv[1:5])
    main(parent, signal, uid, gid, sys.argv[5:])
