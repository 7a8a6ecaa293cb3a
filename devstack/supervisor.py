"""Keeps a stack and the service on it running until it is told to stop."""

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx

from devstack import demo, service, settings_file
from devstack.child import Child
from devstack.errors import StackError
from devstack.ports import HOST, require_free
from devstack.stack import Stack

WATCH_SECONDS = 0.2
QUICK_DEATH_SECONDS = 10.0
QUICK_DEATHS = 5
MAX_BACKOFF_SECONDS = 5.0
BUCKET = "assets"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(line: str) -> None:
    print(line, flush=True)


class _Stopped(BaseException):  # no Exception: nothing on the way may take it for a failure
    """Ctrl-C or SIGTERM."""


@dataclass
class _Watch:
    """One child's record: how often it died soon after its start, and when it may start again."""

    child: Child
    started: float
    quick_deaths: int = 0
    restart_at: float | None = None


class Supervisor:
    """``say`` gets a line at a time of what the person at the terminal should know."""

    def __init__(self, stack: Stack, *, service_port: int | None, say: Callable[[str], None] = say) -> None:
        """``service_port`` None leaves the service and its worker out."""
        self.stack = stack
        self.service_port = service_port
        self.say = say
        self._watches: list[_Watch] = []

    @property
    def env_file(self) -> Path:
        return self.stack.state_dir / "stack.env"

    def run(self) -> int:
        """Runs until stopped (0), or until something keeps dying (1). Nothing it started is left running."""
        for number in STOP_SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
                signal.signal(number, _stop)
        status = 0
        try:
            self._start()
            self._watch()
        except _Stopped:
            self.say("Stopping.")
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
        self.stack.create_bucket(BUCKET, {"public": False})
        for child in self.stack.children.values():
            self._add(child)
        kept = settings_file.read(self.env_file)
        email, password = demo.user(self.stack, kept)
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
        if "DEMO_API_KEY" in kept:  # of use again once the service is up again
            settings["DEMO_API_KEY"] = kept["DEMO_API_KEY"]
        if self.service_port is not None:
            url = f"http://{HOST}:{self.service_port}"
            for child in (service.service(self.stack, self.service_port), service.worker(self.stack)):
                self._add(child)
                child.start()
                child.wait_ready()
            key = demo.api_key(self.stack, url, email, password, kept)
            settings = {"API_URL": url, **settings, "DEMO_API_KEY": key}
        settings_file.write(self.env_file, settings)
        self.say(summary(settings, self.env_file))

    def _add(self, child: Child) -> None:
        self._watches.append(_Watch(child, time.monotonic()))

    def _watch(self) -> None:
        while True:
            time.sleep(WATCH_SECONDS)
            for watch in self._watches:
                watch.child.trim_log()
                if watch.restart_at is not None:
                    self._restart_when_due(watch)
                elif not watch.child.running:
                    self._note_death(watch)

    def _note_death(self, watch: _Watch) -> None:
        now = time.monotonic()
        quick = now - watch.started < QUICK_DEATH_SECONDS
        watch.quick_deaths = watch.quick_deaths + 1 if quick else 1
        words = f"{watch.child.name} stopped unexpectedly. Its last words:\n{watch.child.tail()}"
        if watch.quick_deaths > QUICK_DEATHS:
            raise StackError(f"{words}\n{watch.child.name} keeps dying: giving up.")
        watch.restart_at = now + min(0.1 * 2**watch.quick_deaths, MAX_BACKOFF_SECONDS)
        self.say(words)

    def _restart_when_due(self, watch: _Watch) -> None:
        if watch.restart_at is None or time.monotonic() < watch.restart_at:
            return
        watch.restart_at = None
        watch.started = time.monotonic()
        watch.child.stop()  # what is left of its process group
        watch.child.start()
        self.say(f"{watch.child.name} started again.")

    def _stop(self) -> None:
        for watch in reversed(self._watches):
            watch.child.stop()
        self.stack.stop()


def summary(settings: dict[str, str], env_file: Path) -> str:
    """What to open, what to source, and one command that works when pasted."""
    api = settings.get("API_URL")
    lines = [
        "",
        "Assetdock is running. Ctrl-C stops it.",
        *([f"  Page      {api}/ as {settings['DEMO_EMAIL']}, password {settings['DEMO_PASSWORD']}"] if api else []),
        *([f"  API       {api}"] if api else []),
        f"  Supabase  {settings['SUPABASE_URL']}",
        f"  Postgres  {settings['DB_URL']}",
        f"  Settings  {env_file}",
        "Try:",
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
    raise _Stopped
