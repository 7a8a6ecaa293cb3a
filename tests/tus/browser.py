"""A browser tab that uploads: tus-js-client in its own process."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.callers import Json
from tests.polling import DEADLINE

SCRIPT = Path(__file__).with_name("upload.mjs")


class Tab:
    """One upload, whose output is read line by line. `options` are those of upload.mjs."""

    def __init__(self, file: Path, reservation: Json, **options: Any) -> None:
        target = json.dumps(reservation["upload"]["resumable"])
        self.process = subprocess.Popen(
            ["node", SCRIPT, file, target, json.dumps(options)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.lines: list[Json] = []

    def until(self, *names: str) -> Json:
        """Reads up to the next line with one of these keys and returns it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            if self.lines[-1].keys() & set(names):
                return self.lines[-1]
        raise AssertionError(f"the process ended without {names}: {self.lines}")

    def end(self) -> Json:
        """The last line."""
        ended = self.until("done", "aborted", "failed")
        self.close()
        return ended

    @property
    def url(self) -> str:
        url: str = next(line["url"] for line in self.lines if "url" in line)
        return url

    def close(self) -> None:
        """Waits for the process to exit, and kills it after two seconds."""
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(DEADLINE)
        if self.process.stdout is not None:
            self.process.stdout.close()
