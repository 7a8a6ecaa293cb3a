"""The ports of a stack on 127.0.0.1."""

import errno
import socket
from dataclasses import astuple, dataclass, fields

from devstack.errors import StackError

HOST = "127.0.0.1"


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
        """Ports nobody listens on now. All are held open until all are known, so that none is given twice."""
        sockets = [socket.socket() for _ in fields(cls)]
        try:
            for each in sockets:
                each.bind((HOST, 0))
            return cls(*(each.getsockname()[1] for each in sockets))
        finally:
            for each in sockets:
                each.close()

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
