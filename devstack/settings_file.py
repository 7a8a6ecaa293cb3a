"""`.local/stack.env`: settings for a developer's shell, the service and the worker."""

import re
import shlex
from pathlib import Path

from devstack.secret_files import write_secret_file

_LINE = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)")


def read(path: Path) -> dict[str, str]:
    """Name → value; empty without the file."""
    if not path.exists():
        return {}
    matches = (_LINE.fullmatch(line) for line in path.read_text().splitlines())
    return {match[1]: "".join(shlex.split(match[2])) for match in matches if match}


def write(path: Path, settings: dict[str, str]) -> None:
    """Writes a dotenv file that a shell can source and only its owner can read."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    write_secret_file(
        path,
        "# Written by `python -m devstack up`; every start overwrites it.\n" + "\n".join(lines) + "\n",
    )
