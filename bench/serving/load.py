"""Load on one server from a second process: wrk (closed loop: a connection asks again when it was answered)."""

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
    """A program that the benchmark needs is not there; the message says what to install."""


@dataclass(frozen=True)
class Request:
    """One line of what wrk sends. `path` is below the target's URL; an empty body is none."""

    method: str
    path: str
    token: str
    body: str = ""


@dataclass(frozen=True)
class Target:
    """Something to be measured: where it answers, what it is asked, and the process whose CPU time counts, if any."""

    name: str
    url: str
    requests: Path
    headers: tuple[str, ...] = ()
    pid: int | None = None

    @classmethod
    def of(
        cls, directory: Path, name: str, url: str, requests: Sequence[Request], *headers: str, pid: int | None = None
    ) -> "Target":
        """Writes the requests into a file that wrk reads. `headers`: name, value, name, value, …"""
        file = directory / f"{name.replace('/', '-').replace(' ', '_')}.tsv"
        if file.exists():
            raise ValueError(f"There is a target named like {name!r} already.")
        file.write_text("".join(f"{r.method}\t{r.path}\t{r.token}\t{r.body}\n" for r in requests))
        return cls(name, url, file, headers, pid)


@dataclass(frozen=True)
class Run:
    """What one round of load on a target gave. Times in seconds; `cpu` in seconds a request; `foreign` in cores."""

    per_second: float
    p50: float
    p99: float
    cpu: float
    foreign: float
    refused: int  # answers that were not 2xx
    broken: int  # connections that failed or timed out

    @property
    def is_void(self) -> bool:
        """A round in which anything failed says nothing about speed."""
        return self.refused > 0 or self.broken > 0


def require_wrk() -> str:
    """Where wrk is. Raises ToolMissingError."""
    found = shutil.which("wrk")
    if found is None:
        raise ToolMissingError("The benchmark needs wrk: apt-get install wrk")
    return found


def load(target: Target, connections: int, seconds: int) -> Run:
    """One round."""
    foreign, before = BackgroundLoad(), usage(target.pid).cpu_seconds if target.pid else 0.0
    settings = ["--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s"]
    # Each round begins at another line, so that all callers of a file have their turn.
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
    answered = max(1, result["requests"])
    return Run(
        per_second=result["requests"] / (result["microseconds"] / 1e6),
        p50=result["p50"] / 1e6,
        p99=result["p99"] / 1e6,
        cpu=spent / answered,
        foreign=foreign.cores(),
        refused=result["not_2xx"],
        broken=result["broken"],
    )
