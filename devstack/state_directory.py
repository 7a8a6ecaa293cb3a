"""State directories of stacks: temporary ones, and the lock that one stack holds."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from devstack.errors import StackError


@contextmanager
def temporary_state_directory() -> Iterator[Path]:
    """A directory that is deleted at the end. Its mode is 0711, so Postgres can traverse it as another user."""
    directory = Path(tempfile.mkdtemp(prefix="assetdock-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def lock(state_dir: Path) -> IO[str]:
    """Locks the directory until the returned file is closed. Raises StackError when a stack holds the lock."""
    file = (state_dir / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StackError(f"A stack is running in {state_dir}: stop it first, or choose another --state.") from error
    return file
