"""Files that hold secrets."""

import os
from pathlib import Path


def write_secret_file(path: Path, text: str) -> None:
    """Atomically writes a file that only its owner can read, at every moment."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
