"""Starts processes of the service and the worker for tests."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from tests.polling import DEADLINE, until

PROJECT = Path(__file__).parents[1]

_LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


FROM_CHECKOUT = (sys.executable, "-W", "error", "-m", "assetdock_server")


def _kill_with_parent() -> None:
    """Makes the kernel kill the process when the test run is killed."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """A process of `python -m assetdock_server`, or of another installation's command. It inherits only PATH and HOME
    from the environment."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], command: Sequence[str] = FROM_CHECKOUT
    ) -> None:
        self._log = tempfile.NamedTemporaryFile(prefix="assetdock-", suffix=".log")  # noqa: SIM115 - closed in stop
        self._process = subprocess.Popen(
            [*command, *arguments],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            preexec_fn=_kill_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one system call
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def output(self) -> str:
        return Path(self._log.name).read_text(errors="replace")

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = DEADLINE) -> int:
        return self._process.wait(seconds)

    def stop(self) -> None:
        """Sends SIGTERM, and SIGKILL if the process does not stop in time."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(DEADLINE)
        self._log.close()


class Service(Process):
    """The HTTP service on a free port."""

    def __init__(self, environment: Mapping[str, str], port: int, command: Sequence[str] = FROM_CHECKOUT) -> None:
        super().__init__(["serve"], {**environment, "HOST": "127.0.0.1", "PORT": str(port)}, command)
        self.url = f"http://127.0.0.1:{port}"
        until(self._responds, "the service to respond")

    def _responds(self) -> bool:
        assert self.exit_code is None, f"the service stopped:\n{self.output}"
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False


class WorkerProcess(Process):
    """The worker."""

    def __init__(self, environment: Mapping[str, str], *arguments: str, command: Sequence[str] = FROM_CHECKOUT) -> None:
        super().__init__(["worker", *arguments], environment, command)
        until(self._has_started, "the worker to start")

    def _has_started(self) -> bool:
        assert self.exit_code is None, f"the worker stopped:\n{self.output}"
        return "worker_started" in self.output
