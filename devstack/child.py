"""One child process of the stack: start, readiness check, stop, and cleanup after a crash."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devstack.errors import StackError

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT = 8 * 1024 * 1024
POLL_SECONDS = 0.02


@dataclass
class Child:
    """A program in its own process group, with its output appended to ``log``.

    ``ready`` is polled until it returns True; an exception counts as not ready. ``parent_death_signal`` is sent by the
    kernel when this process crashes (Linux only, bound to the *thread* that called ``start``); elsewhere the next start
    finds the orphan by ``pid_file``. ``retry_on``: text in the output of a failed start after which it is retried.
    """

    name: str
    argv: Sequence[str | Path]
    log: Path
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    parent_death_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    ready_seconds: float = 120.0
    retry_on: str = ""
    before_start: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _log_start: int = 0

    @property
    def pid(self) -> int:
        if self.process is None:
            raise StackError(f"{self.name} was never started.")
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid_file(self) -> Path:
        return self.log.with_suffix(".pid")

    def start(self) -> None:
        """Stops an orphan of an earlier run, then starts the program. Does not wait until it is ready."""
        self.stop_orphan()
        self.before_start()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.trim_log()
        self._log_start = self.log.stat().st_size if self.log.exists() else 0
        uid, gid = self.user or (-1, -1)
        launcher: list[str | Path] = [
            sys.executable,
            "-I",
            "-S",
            LAUNCHER,
            *map(str, (os.getpid(), int(self.parent_death_signal), uid, gid)),
        ]
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*launcher, *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(self.env),
                cwd=self.cwd,
                process_group=0,
            )
        self.pid_file.write_text(f"{self.pid} {started_at(self.pid)}\n")

    def wait_ready(self, seconds: float | None = None) -> None:
        """Raises StackError, with the end of the output, when the program exits or is not ready in time."""
        deadline = time.monotonic() + (seconds or self.ready_seconds)
        while True:
            if not self.running and self.retry_on and self.retry_on in self.tail():
                if time.monotonic() < deadline:
                    time.sleep(10 * POLL_SECONDS)
                    self.start()
            elif not self.running:
                raise StackError(f"{self.name} exited before it was ready. Its last output:\n{self.tail()}")
            try:
                if self.ready():
                    return
            except Exception:  # noqa: S110 - not ready yet
                pass
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not become ready in time. Its last output:\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Sends the stop signal, waits ``stop_seconds``, then kills. Does nothing when it is not running."""
        if self.process is None:
            return
        if self.running:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._clean_up()

    def kill(self) -> None:
        """Kills the whole process group at once."""
        if self.process is None:
            return
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Stops the program if it runs, starts it, and waits until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def tail(self, lines: int = 20) -> str:
        """The last lines of output of the current run."""
        if not self.log.exists():
            return "  (no output)"
        with self.log.open("rb") as log:
            log.seek(max(min(self._log_start, self.log.stat().st_size), self.log.stat().st_size - 64 * 1024))
            text = log.read().decode(errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (no output)"

    def trim_log(self) -> None:
        """Truncates a log above its limit. This is safe while the program runs, because it writes in append mode."""
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            with self.log.open("r+b") as log:
                log.seek(-LOG_LIMIT // 2, os.SEEK_END)
                tail = log.read()
                log.seek(0)
                log.write(tail)
                log.truncate()
            self._log_start = 0

    def stop_orphan(self) -> None:
        """Stops the process that an earlier run left running under this name."""
        stop_orphan(self.pid_file, self.stop_signal, self.stop_seconds)

    def _clean_up(self) -> None:
        signal_group(self.pid, signal.SIGKILL)  # processes that the program started
        self.pid_file.unlink(missing_ok=True)


def stop_orphan(pid_file: Path, stop_signal: signal.Signals = signal.SIGTERM, stop_seconds: float = 10.0) -> None:
    """Stops the process of a pid file, unless the pid now belongs to another process."""
    try:
        pid, _, start_time = pid_file.read_text().strip().partition(" ")
    except FileNotFoundError:
        return
    if pid.isdecimal() and start_time and started_at(int(pid)) == start_time:
        signal_group(int(pid), stop_signal)
        if not wait_gone(int(pid), stop_seconds):
            signal_group(int(pid), signal.SIGKILL)
            wait_gone(int(pid), stop_seconds)
    pid_file.unlink(missing_ok=True)


def responds(url: str, method: str = "GET") -> bool:
    """True for a successful response. Raises OSError for an error response or no response."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=2):  # noqa: S310 - our own http
        return True


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signals the process group led by ``pid``; a group that no longer exists is ignored."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def started_at(pid: int) -> str:
    """The start time of a process, in a form for comparison only. Empty for a missing process or a zombie."""
    try:
        if sys.platform == "linux":
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return "" if fields[0] == "Z" else fields[19]
        return subprocess.run(
            ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def wait_gone(pid: int, seconds: float) -> bool:
    """True once the process is gone; False after ``seconds``."""
    deadline = time.monotonic() + seconds
    while started_at(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
