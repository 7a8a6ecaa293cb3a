"""Runs a stack and the service, and restarts processes that exit."""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from devstack import demo_account, service, settings_file
from devstack.child import Child
from devstack.errors import StackError
from devstack.ports import HOST, require_free
from devstack.stack import Stack

WATCH_SECONDS = 0.2
CRASH_LOOP_SECONDS = 10.0
MAX_QUICK_EXITS = 5
MAX_BACKOFF_SECONDS = 5.0
RUNNING = "Assetdock is running."
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def print_line(line: str) -> None:
    print(line, flush=True)


class _StopRequested(BaseException):  # not an Exception, so no handler treats it as a failure
    """Ctrl-C or SIGTERM."""


@dataclass
class _WatchedChild:
    """A child with its number of quick exits in a row and the time of its next restart."""

    child: Child
    started: float
    quick_exits: int = 0
    restart_at: float | None = None


class Supervisor:
    """``output`` receives the messages for the user, line by line."""

    def __init__(self, stack: Stack, *, service_port: int | None, output: Callable[[str], None] = print_line) -> None:
        """``service_port`` None starts no service and no worker."""
        self.stack = stack
        self.service_port = service_port
        self.output = output
        self._watched: list[_WatchedChild] = []

    @property
    def env_file(self) -> Path:
        return self.stack.state_dir / "stack.env"

    def run(self) -> int:
        """Runs until it is stopped (returns 0) or a process keeps exiting (returns 1). Stops every child at the end."""
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, _stop)
        status = 0
        try:
            self._start()
            self._watch()
        except _StopRequested:
            self.output("Stopping.")
        except (StackError, httpx.HTTPError) as error:
            print(error, file=sys.stderr)
            status = 1
        finally:
            for number in STOP_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            self._stop()
        return status

    def _start(self) -> None:
        self.stack.claim()
        if self.service_port is not None:
            require_free(self.service_port, "the service", "--service-port")
        self.stack.start()
        for child in self.stack.children.values():
            self._add(child)
        stored = settings_file.read(self.env_file)
        email, password = demo_account.ensure_user(self.stack, stored)
        settings = {
            "SUPABASE_URL": self.stack.supabase_url,
            "SUPABASE_PUBLISHABLE_KEY": self.stack.publishable_key,
            "SUPABASE_SIGNING_KEY": self.stack.signing_key,
            "SUPABASE_WORKER_TOKEN": service.worker_token(self.stack),
            "DB_URL": self.stack.db_url,
            "DEMO_EMAIL": email,
            "DEMO_PASSWORD": password,
        }
        if self.stack.keys.jwt_secret:
            settings["SUPABASE_JWT_SECRET"] = self.stack.keys.jwt_secret
        if "DEMO_API_KEY" in stored:  # reused at the next start with the service
            settings["DEMO_API_KEY"] = stored["DEMO_API_KEY"]
        if self.service_port is not None:
            url = f"http://{HOST}:{self.service_port}"
            for child in (service.service(self.stack, self.service_port), service.worker(self.stack)):
                self._add(child)
                child.start()
                child.wait_ready()
            key = demo_account.ensure_api_key(self.stack, url, email, password, stored)
            settings = {"API_URL": url, **settings, "DEMO_API_KEY": key}
        settings_file.write(self.env_file, settings)
        self.output(summary(settings, self.env_file))

    def _add(self, child: Child) -> None:
        self._watched.append(_WatchedChild(child, time.monotonic()))

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            for watch in self._watched:
                watch.child.trim_log()
                if watch.restart_at is not None:
                    self._restart_when_due(watch)
                elif not watch.child.running:
                    self._schedule_restart(watch)

    def _schedule_restart(self, watch: _WatchedChild) -> None:
        now = time.monotonic()
        exited_quickly = now - watch.started < CRASH_LOOP_SECONDS
        watch.quick_exits = watch.quick_exits + 1 if exited_quickly else 1
        message = f"{watch.child.name} exited unexpectedly. Its last output:\n{watch.child.tail()}"
        if watch.quick_exits > MAX_QUICK_EXITS:
            raise StackError(f"{message}\n{watch.child.name} keeps exiting. Giving up.")
        watch.restart_at = now + min(0.1 * 2**watch.quick_exits, MAX_BACKOFF_SECONDS)
        self.output(message)

    def _restart_when_due(self, watch: _WatchedChild) -> None:
        if watch.restart_at is None or time.monotonic() < watch.restart_at:
            return
        watch.restart_at = None
        watch.started = time.monotonic()
        watch.child.stop()  # the rest of its process group
        watch.child.start()
        self.output(f"{watch.child.name} restarted.")

    def _stop(self) -> None:
        for watch in reversed(self._watched):
            watch.child.stop()
        self.stack.stop()


def summary(settings: dict[str, str], env_file: Path) -> str:
    """The URLs, the settings file, and one command to try."""
    api = settings.get("API_URL")
    lines = [
        "",
        f"{RUNNING} Press Ctrl-C to stop it.",
        *([f"  Page      {api}/", f"  API       {api}"] if api else []),
        f"  Demo user {settings['DEMO_EMAIL']}, password {settings['DEMO_PASSWORD']}",
        f"  Supabase  {settings['SUPABASE_URL']}",
        f"  Postgres  {settings['DB_URL']}",
        f"  Settings  {env_file}",
        "Try this command:",
    ]
    if api:
        lines.append(
            f"  curl -s {api}/api/v1/assets/upload-url -H 'Authorization: Bearer {settings['DEMO_API_KEY']}' "
            "-H 'Content-Type: application/json' -d '{\"type\": \"audio\"}'"
        )
    else:
        lines.append(
            f"  curl -s {settings['SUPABASE_URL']}/auth/v1/settings -H 'apikey: {settings['SUPABASE_PUBLISHABLE_KEY']}'"
        )
    return "\n".join(lines)


def _stop(_: int, __: FrameType | None) -> None:
    raise _StopRequested
