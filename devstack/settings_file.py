"""`.local/stack.env`: what a developer's shell, the service and the worker read."""

import re
import shlex
from pathlib import Path

from devstack.private_file import write_private

_LINE = re.compile(r"([A-Z_][A-Z0-9_]*)=(.*)")


def read(path: Path) -> dict[str, str]:
    """Name → value; empty when there is no such file."""
    if not path.exists():
        return {}
    matches = (_LINE.fullmatch(line) for line in path.read_text().splitlines())
    return {match[1]: "".join(shlex.split(match[2])) for match in matches if match}


def write(path: Path, settings: dict[str, str]) -> None:
    """A dotenv file that a shell can source too, readable by its owner only."""
    lines = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    write_private(
        path,
        "# Written by `python -m devstack up`; it is made anew at every start.\n" + "\n".join(lines) + "\n",
    )
