"""The data directory of Postgres, and the user it runs as.

Postgres refuses to run as root, so root starts it as `nobody`, who needs access to its data and programs. In a clone
below /root `nobody` has no access; both are then stored in /var/lib/assetdock-<hash of the state directory>.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from devstack.binaries import PostgresBinaries, find_postgres

NOBODY = 65534


@dataclass(frozen=True)
class PostgresHome:
    """``user`` is (uid, gid) if Postgres must run as another user, else None."""

    data: Path
    binaries: PostgresBinaries
    user: tuple[int, int] | None

    @classmethod
    def of(cls, state: Path) -> "PostgresHome":
        """Chooses directories and user, and copies the programs if needed. ``state`` must exist. Raises StackError
        without Postgres.
        """
        binaries = find_postgres()
        if os.geteuid() != 0:
            return cls(data_directories(state)[0], binaries, None)
        user = (NOBODY, NOBODY)
        fallback = fallback_directory(state)
        data, fallback_data = data_directories(state)
        if not reachable(state, NOBODY) or fallback_data.exists():
            fallback.mkdir(mode=0o711, parents=True, exist_ok=True)
            data = fallback_data
        if not reachable(binaries.postgres.parent, NOBODY) and binaries.home:
            fallback.mkdir(mode=0o711, parents=True, exist_ok=True)
            binaries = copy_installation(binaries.home, fallback / "native")
        return cls(data, binaries, user)

    def create(self) -> None:
        """Creates the empty data directory, owned by the user of Postgres."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.user:
            os.chown(self.data, *self.user)


def data_directories(state: Path) -> tuple[Path, Path]:
    """The possible data directories of a state directory."""
    return state / "postgres", fallback_directory(state) / "data"


def fallback_directory(state: Path) -> Path:
    """The directory for data that cannot be stored in the state directory. `reset` derives the same path."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    return Path("/var/lib") / f"assetdock-{digest}"


def reachable(path: Path, uid: int) -> bool:
    """Whether ``uid`` can traverse ``path`` and every directory above it. Group permissions are ignored."""
    for directory in (path.resolve(), *path.resolve().parents):
        status = directory.stat()
        if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
            return False
    return True


def copy_installation(home: Path, target: Path) -> PostgresBinaries:
    """Copies a Postgres installation to ``target``, unless the same one was copied before."""
    stamp, origin = target / ".copied-from", f"{home.resolve()} {(home / 'bin/postgres').stat().st_mtime_ns}"
    if not stamp.exists() or stamp.read_text() != origin:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(home, target, symlinks=True)
        target.chmod(0o755)
        stamp.write_text(origin)
    return PostgresBinaries(target / "bin/postgres", target / "bin/initdb", target)
