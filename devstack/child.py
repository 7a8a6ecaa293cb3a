"""One process of the stack: started, watched, stopped, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from devstack.errors import StackError

LAUNCHER = Path(__file__).with_name("launch.py")
LOG_LIMIT = 8 * 1024 * 1024
POLL_SECONDS = 0.02


@dataclass
class Child:
    """A program in a process group of its own, its output appended to ``log``.

    ``ready`` is asked until it says True; an exception from it means "not yet". ``death_signal`` is what
    the kernel sends when our own process dies without a word (Linux; bound to the *thread* that called
    ``start``). Elsewhere, and for whatever slips through, ``pid_file`` lets the next start end the leftover.
    """

    name: str
    argv: Sequence[str | Path]
    log: Path
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    user: tuple[int, int] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    ready_seconds: float = 30.0
    try_again_on: str = ""
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
        """Ends a leftover of an earlier run, then starts the program. Does not wait for it to be ready."""
        self.end_leftover()
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
            *map(str, (os.getpid(), int(self.death_signal), uid, gid)),
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
        """Raises StackError, with the end of the program's output, when it dies or is not ready in time."""
        deadline = time.monotonic() + (seconds or self.ready_seconds)
        while True:
            if not self.running and self.try_again_on and self.try_again_on in self.tail():
                if time.monotonic() < deadline:
                    time.sleep(10 * POLL_SECONDS)
                    self.start()
            elif not self.running:
                raise StackError(f"{self.name} stopped before it was ready. Its last words:\n{self.tail()}")
            try:
                if self.ready():
                    return
            except Exception:  # noqa: S110 - whatever it was, the answer is "not yet"
                pass
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} did not become ready. Its last words:\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Asks, waits ``stop_seconds``, then insists. Does nothing when it is not running."""
        if self.process is None:
            return
        if self.running:
            self.process.send_signal(self.stop_signal)
            try:
                self.process.wait(self.stop_seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        self._forget()

    def kill(self) -> None:
        """Kills the whole process group at once, as the kernel's out-of-memory killer might."""
        if self.process is None:
            return
        signal_group(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def restart(self) -> None:
        """Stops it if it runs, starts it, and waits until it is ready."""
        self.stop()
        self.start()
        self.wait_ready()

    def tail(self, lines: int = 20) -> str:
        """The last lines this run of the program has written."""
        if not self.log.exists():
            return "  (no output)"
        with self.log.open("rb") as log:
            log.seek(max(min(self._log_start, self.log.stat().st_size), self.log.stat().st_size - 64 * 1024))
            text = log.read().decode(errors="replace")
        return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (no output)"

    def trim_log(self) -> None:
        """Keeps the log under its limit; the program writes in append mode, so it may be cut under its
        feet.
        """
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            with self.log.open("r+b") as log:
                log.seek(-LOG_LIMIT // 2, os.SEEK_END)
                kept = log.read()
                log.seek(0)
                log.write(kept)
                log.truncate()
            self._log_start = 0

    def end_leftover(self) -> None:
        """Ends what an earlier run left behind under this name."""
        end_leftover(self.pid_file, self.stop_signal, self.stop_seconds)

    def _forget(self) -> None:
        signal_group(self.pid, signal.SIGKILL)  # what it started and left running
        self.pid_file.unlink(missing_ok=True)


def end_leftover(pid_file: Path, stop_signal: signal.Signals = signal.SIGTERM, stop_seconds: float = 10.0) -> None:
    """Ends the process that a pid file names, if it is still that one and not another that got its number."""
    try:
        pid, _, birth = pid_file.read_text().strip().partition(" ")
    except FileNotFoundError:
        return
    if pid.isdecimal() and birth and started_at(int(pid)) == birth:
        signal_group(int(pid), stop_signal)
        if not wait_gone(int(pid), stop_seconds):
            signal_group(int(pid), signal.SIGKILL)
            wait_gone(int(pid), stop_seconds)
    pid_file.unlink(missing_ok=True)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signals the process group led by ``pid``; a group that is gone is no error."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def started_at(pid: int) -> str:
    """When ``pid`` began, in a form to compare only; empty when there is no such process (or only its
    zombie).
    """
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
    """True once no process has this pid; False when ``seconds`` pass first."""
    deadline = time.monotonic() + seconds
    while started_at(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
