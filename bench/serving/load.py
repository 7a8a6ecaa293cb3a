"""Generates load with wrk in a closed loop: a connection sends the next request after the response."""

import json
import random
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BackgroundLoad, usage

SCRIPT = Path(__file__).with_name("replay.lua")


class ToolMissingError(Exception):
    """A program that the benchmark needs is missing; the message says what to install."""


@dataclass(frozen=True)
class Request:
    """One request of wrk. `path` is relative to the target's URL; an empty body means no body."""

    method: str
    path: str
    token: str
    body: str = ""


@dataclass(frozen=True)
class Target:
    """A server to measure, the file of requests, and the process whose CPU time is measured, if any."""

    name: str
    url: str
    requests: Path
    headers: tuple[str, ...] = ()
    pid: int | None = None

    @classmethod
    def of(
        cls, directory: Path, name: str, url: str, requests: Sequence[Request], *headers: str, pid: int | None = None
    ) -> "Target":
        """Writes the requests to a file that wrk reads. `headers` alternates names and values."""
        file = directory / f"{name.replace('/', '-').replace(' ', '_')}.tsv"
        if file.exists():
            raise ValueError(f"There is already a target with the file name of {name!r}.")
        file.write_text("".join(f"{r.method}\t{r.path}\t{r.token}\t{r.body}\n" for r in requests))
        return cls(name, url, file, headers, pid)


@dataclass(frozen=True)
class Run:
    """The result of one round. Latencies are in seconds, `cpu` in seconds per request, `background` in cores."""

    per_second: float
    p50: float
    p99: float
    cpu: float
    background: float
    not_2xx: int
    broken: int  # connections that failed or timed out

    @property
    def has_errors(self) -> bool:
        """The speed of a round with errors is meaningless."""
        return self.not_2xx > 0 or self.broken > 0


def require_wrk() -> str:
    """The path of wrk. Raises ToolMissingError."""
    found = shutil.which("wrk")
    if found is None:
        raise ToolMissingError("The benchmark needs wrk: apt-get install wrk")
    return found


def load(target: Target, connections: int, seconds: int) -> Run:
    """Runs one round."""
    background, before = BackgroundLoad(), usage(target.pid).cpu_seconds if target.pid else 0.0
    settings = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s"]
    # Each round starts at a random line, so that all callers get requests.
    arguments = [str(target.requests), str(random.randrange(1_000)), *target.headers]
    ended = subprocess.run(
        [require_wrk(), *settings, "--script", SCRIPT, target.url, "--", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    spent = usage(target.pid).cpu_seconds - before if target.pid else 0.0
    result = json.loads(ended.stdout.rpartition("RESULT ")[2])
    return Run(
        per_second=result["requests"] / (result["microseconds"] / 1e6),
        p50=result["p50"] / 1e6,
        p99=result["p99"] / 1e6,
        cpu=spent / max(1, result["requests"]),
        background=background.cores(),
        not_2xx=result["not_2xx"],
        broken=result["broken"],
    )
