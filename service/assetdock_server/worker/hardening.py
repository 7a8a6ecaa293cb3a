"""Keeps a process's memory and environment from others of the same user."""

import ctypes
import sys

PR_SET_DUMPABLE = 4


def hide() -> bool:
    """Makes this process undumpable, so that /proc shows its environment to root only; whether that was possible.

    ffprobe runs as the same user as the worker. Without this, a hole in ffprobe reads the worker's token.
    Programs that the process starts are dumpable again: the kernel decides anew at each exec.
    """
    if sys.platform != "linux":
        return False
    return bool(ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
