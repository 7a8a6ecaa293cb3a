"""Protects the worker's memory and environment from other processes of the same user."""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def disable_dumping() -> bool:
    """Makes this process undumpable, so that only root can read its environment in /proc. Returns whether it worked.

    ffprobe runs as the same user as the worker. Without this, an exploited ffprobe could read the worker's token.
    Programs that this process starts are dumpable again, because the kernel resets the flag at each exec.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
