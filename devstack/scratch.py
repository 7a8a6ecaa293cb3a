"""Directories for stacks."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A directory that goes away again. Not one of mode 0700: Postgres, which refuses root, must pass through it."""
    directory = Path(tempfile.mkdtemp(prefix="assetdock-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
