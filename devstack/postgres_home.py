"""Where Postgres keeps its data, and as whom it runs.

Postgres refuses to run as root. Started by root it runs as `nobody`, who must be able to reach its data
and its programs: not the case in a clone below /root. Then both live in /var/lib/assetdock-<hash of the state
directory>.
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
    """``user`` is (uid, gid) when Postgres must run as somebody else than us."""

    data: Path
    binaries: PostgresBinaries
    user: tuple[int, int] | None

    @classmethod
    def of(cls, state: Path) -> "PostgresHome":
        """Decides, and copies the programs if need be. ``state`` exists. Raises StackError without a
        Postgres.
        """
        binaries = find_postgres()
        if os.geteuid() != 0:
            return cls(data_directories(state)[0], binaries, None)
        user = (NOBODY, NOBODY)
        elsewhere = refuge(state)
        data, data_elsewhere = data_directories(state)
        if not reachable(state, NOBODY) or data_elsewhere.exists():
            elsewhere.mkdir(mode=0o711, parents=True, exist_ok=True)
            data = data_elsewhere
        if not reachable(binaries.postgres.parent, NOBODY) and binaries.home:
            elsewhere.mkdir(mode=0o711, parents=True, exist_ok=True)
            binaries = copied(binaries.home, elsewhere / "native")
        return cls(data, binaries, user)

    def create(self) -> None:
        """Makes the empty data directory, owned by whoever Postgres runs as."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.user:
            os.chown(self.data, *self.user)


def data_directories(state: Path) -> tuple[Path, Path]:
    """Where the data of this state directory may be."""
    return state / "postgres", refuge(state) / "data"


def refuge(state: Path) -> Path:
    """The same directory for the same state directory, always: `reset` finds it again without a note."""
    digest = hashlib.sha256(str(state.resolve()).encode()).hexdigest()[:12]
    return Path("/var/lib") / f"assetdock-{digest}"


def reachable(path: Path, uid: int) -> bool:
    """Whether ``uid``, a member of no group that matters, may pass through ``path`` and every directory
    above it.
    """
    for directory in (path.resolve(), *path.resolve().parents):
        status = directory.stat()
        if not status.st_mode & (0o100 if status.st_uid == uid else 0o001):
            return False
    return True


def copied(home: Path, target: Path) -> PostgresBinaries:
    """Copies a Postgres installation to where `nobody` can run it, unless this very one is there already."""
    stamp, origin = target / ".copied-from", f"{home.resolve()} {(home / 'bin/postgres').stat().st_mtime_ns}"
    if not stamp.exists() or stamp.read_text() != origin:
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(home, target, symlinks=True)
        target.chmod(0o755)
        stamp.write_text(origin)
    return PostgresBinaries(target / "bin/postgres", target / "bin/initdb", target)
