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
# Below the ports of outgoing connections (from 32768 on Linux, 49152 elsewhere), which could take a port between its
# choice and its use.
POOL = range(20_000, 32_000)


@dataclass(frozen=True)
class Ports:
    """The defaults of ``gateway`` and ``postgres`` are the ports of ``supabase start``, so one .env works with both."""

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
        """Free ports. Other processes of this user that call this get other ports."""
        return cls(*_next_free(len(fields(cls))))

    def require_free(self) -> None:
        """Raises StackError for the first port that is in use."""
        for field, port in zip(fields(self), astuple(self), strict=True):
            require_free(port, field.name, f"--{field.name.replace('_', '-')}-port")


def require_free(port: int, needed_by: str, option: str) -> None:
    """Raises StackError with the port, its user, and the option that chooses another port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            reason = (
                "is in use by another program"
                if error.errno == errno.EADDRINUSE
                else "cannot be opened without more privileges"
            )
            raise StackError(
                f"Port {port} for {needed_by} {reason}. Stop that program, or choose another port with {option}."
            ) from error


def _next_free(number: int) -> list[int]:
    # The last port is stored in a file, so two test runs at the same time never choose the same port. Ports chosen by
    # the system could collide, because each is released until its server starts.
    file = Path(tempfile.gettempdir(), f"assetdock-ports-{os.getuid()}")
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "r+") as state:
        fcntl.flock(state, fcntl.LOCK_EX)
        text = state.read().strip()
        last = int(text) if text.isdigit() else 0
        found: list[int] = []
        for _ in POOL:
            last += 1
            port = POOL[last % len(POOL)]
            if _is_free(port):
                found.append(port)
            if len(found) == number:
                state.seek(0)
                state.truncate()
                state.write(str(last % len(POOL)))
                return found
    raise StackError(f"There are no {number} free ports from {POOL[0]} to {POOL[-1]}.")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
