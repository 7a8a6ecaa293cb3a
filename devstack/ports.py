"""The ports of a stack on 127.0.0.1."""

import errno
import fcntl
import os
import socket
import tempfile
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from devstack.errors import StackError

HOST = "127.0.0.1"
# Below those that systems give to outgoing connections (from 32768 on Linux, 49152 elsewhere): none of these can take a
# port away between our choice and its use.
POOL = range(20_000, 32_000)


@dataclass(frozen=True)
class Ports:
    """``gateway`` and ``postgres`` are those of ``supabase start`` by default, so that one .env serves
    both.
    """

    gateway: int
    postgres: int
    postgrest: int
    postgrest_admin: int
    functions: int

    @classmethod
    def default(cls) -> "Ports":
        return cls(gateway=54321, postgres=54322, postgrest=54323, postgrest_admin=54324, functions=54325)

    @classmethod
    def free(cls) -> "Ports":
        """Ports nobody listens on now. Whoever of this user's processes asks next is given others."""
        return cls(*_next_free(len(fields(cls))))

    def require_free(self) -> None:
        """Raises StackError naming the first port that something else listens on."""
        for field, port in zip(fields(self), astuple(self), strict=True):
            require_free(port, field.name, f"--{field.name.replace('_', '-')}-port")


def require_free(port: int, wanted_by: str, option: str) -> None:
    """Raises StackError in one line: the port, what wants it, and how to choose another."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            reason = "is taken by another program" if error.errno == errno.EADDRINUSE else "may not be opened"
            raise StackError(
                f"Port {port}, wanted by {wanted_by}, {reason}: stop that program or choose another port with {option}."
            ) from error


def _next_free(number: int) -> list[int]:
    # Round and round, with the last choice in a file: two test runs at once never choose the same port, as they might
    # if each asked the system for one and let go of it until its server starts.
    file = Path(tempfile.gettempdir(), f"assetdock-ports-{os.getuid()}")
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+") as kept:
        fcntl.flock(kept, fcntl.LOCK_EX)
        text = kept.read().strip()
        last = int(text) if text.isdigit() else 0
        found: list[int] = []
        for _ in POOL:
            last += 1
            port = POOL[last % len(POOL)]
            if _can_be_bound(port):
                found.append(port)
            if len(found) == number:
                kept.seek(0)
                kept.truncate()
                kept.write(str(last % len(POOL)))
                return found
    raise StackError(f"No {number} free ports from {POOL[0]} to {POOL[-1]}.")


def _can_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
