"""Clients that upload, and a driver that kills the processes that they use."""

import queue
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from devstack.child import Child, signal_group
from tests.callers import Caller, Json, error_of
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone

DEADLINE = 240.0  # seconds for one upload with all its retries, and for the site to recover
CHUNKS = 12  # of one body, so that a fault can occur during a PUT


@dataclass(frozen=True)
class Plan:
    """The size of a run. Each kind of fault occurs `rounds` times."""

    uploads: int
    clients: int
    rounds: int
    seed: int = 20261124


@dataclass(frozen=True)
class Table:
    """The results: a table to print, and the assets that break a promise."""

    text: str
    lost: list[str]
    doubled: list[str]
    stuck: list[str]
    wrong_durations: list[tuple[str, str]]


@dataclass
class Chaos:
    """One run. The thread that calls `run` starts the processes.

    acknowledged: asset → expected duration, for each upload whose PUT got a 200 or that is known to have landed.
    unconfirmed: those of them that landed without a response while Postgres was shut down.
    """

    site: Site
    plan: Plan
    chance: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, str] = field(default_factory=dict)
    unconfirmed: set[str] = field(default_factory=set)
    _postgres_shutdowns: list[float] = field(default_factory=list)  # time.monotonic
    invalid_responses: list[str] = field(default_factory=list)
    responses: Counter[str] = field(default_factory=Counter)
    _tickets: "queue.Queue[int | None]" = field(default_factory=queue.Queue)
    _errors: list[BaseException] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, Callable[[], None]]:
        """The faults by their names in the table."""
        children = self.site.stack.children
        return {
            "worker killed": lambda: self._kill(self.site.workers[self.chance.choice(["one", "two"])]),
            "service killed": lambda: self._kill(self.site.service),
            "PostgREST killed": lambda: self._kill(children["postgrest"]),
            "Postgres: immediate shutdown": self._shut_postgres_down,
            "gateway (Storage, Auth) killed": lambda: self._kill(children["gateway"]),
        }

    def run(self) -> None:
        """Starts the clients, causes the faults, and waits until the queue is empty."""
        for name in ("one", "two"):
            self.site.worker(name)
        callers = [self.site.owner() for _ in range(self.plan.clients)]
        threads = [threading.Thread(target=self._client, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        faults = [kill for kill in self.kinds.items() for _ in range(self.plan.rounds)]
        self.chance.shuffle(faults)
        # Each fault occurs during its share of the uploads, after a random delay.
        shares = [list(range(self.plan.uploads))[n :: len(faults)] for n in range(len(faults))]
        for (kind, kill), share in zip(faults, shares, strict=True):
            for upload in share:
                self._tickets.put(upload)
            time.sleep(self.chance.uniform(0.05, 0.8))
            kill()
            self.faults[kind] += 1
        for _ in threads:
            self._tickets.put(None)
        for thread in threads:
            thread.join(2 * DEADLINE)
        if self._errors:
            raise self._errors[0]
        assert not [thread for thread in threads if thread.is_alive()], "a client did not finish"
        self._settle()

    def table(self) -> Table:
        """Counts the faults, the responses and the states of the assets."""
        ids = [*self.acknowledged]
        found = {
            asset: (state, duration, ready, landed)
            for asset, state, duration, ready, landed in self.site.rows(
                "select a.id::text, a.state || coalesce(': ' || a.error_code, ''), a.duration_seconds::text,"
                " count(*) filter (where e.to_state = 'ready'), count(*) filter (where e.to_state = 'processing')"
                " from assetdock_app.assets a left join assetdock_app.asset_events e on e.asset_id = a.id"
                " where a.id = any (%s::uuid[]) group by a.id",
                ids,
            )
        }
        states = {asset: found.get(asset, ("absent",))[0] for asset in ids}
        # Storage deletes the bytes when its database rejects the row. If Postgres shuts down during the commit, Storage
        # deletes the bytes although the row may exist. No PUT got a 200 then, and the asset fails as bytes_missing.
        without_bytes = self._assets_without_bytes()
        deleted = [asset for asset in self.unconfirmed & without_bytes if states[asset] == "failed: bytes_missing"]
        lost = [
            f"{asset} {state}"
            for asset, state in states.items()
            if state not in ("ready", "processing") and asset not in deleted
        ]
        stuck = [asset for asset, state in states.items() if state == "processing"]
        doubled = [asset for asset, (_, _, ready, landed) in found.items() if ready > 1 or landed > 1]
        wrong = [
            (asset, str(found[asset][1]))
            for asset, duration in self.acknowledged.items()
            if asset in found and found[asset][0] == "ready" and found[asset][1] != duration
        ]
        rows = [*sorted(self.faults.items()), *sorted(self.responses.items())]
        rows += [
            ("uploads planned", self.plan.uploads),
            ("assets acknowledged", len(ids)),
            ("lost", len(lost)),
            ("failed as bytes_missing", len(deleted)),
            ("doubled", len(doubled)),
            ("stuck", len(stuck)),
            ("invalid responses", len(self.invalid_responses)),
            ("files without an object", len(self._files() - self._recorded())),
        ]
        return Table("\n".join(f"{name:<36}{number:>6}" for name, number in rows), lost, doubled, stuck, wrong)

    def _assets_without_bytes(self) -> set[str]:
        """Assets whose row exists in Storage and whose bytes do not."""
        return {version.partition("/")[0] for version in self._recorded() - self._files()}

    def _recorded(self) -> set[str]:
        rows = self.site.rows("select name || '/' || version from storage.objects where bucket_id = 'assets'")
        return {version for (version,) in rows}

    def _files(self) -> set[str]:
        bucket = self.site.stack.storage_dir / "assets"
        return {str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file()}

    def _kill(self, child: Child) -> None:
        child.kill()
        child.restart()

    def _shut_postgres_down(self) -> None:
        """An immediate shutdown (SIGQUIT) writes no checkpoint. The next start replays the log."""
        child = self.site.stack.children["postgres"]
        assert child.process
        self._postgres_shutdowns.append(time.monotonic())
        child.process.send_signal(signal.SIGQUIT)
        child.process.wait(DEADLINE)
        signal_group(child.pid, signal.SIGKILL)
        child.restart()

    def _settle(self) -> None:
        open_jobs = (
            "select count(*) from assetdock_private.jobs where finished_at is null"
            " and (kind = 'probe' or lease_token is not null)"
        )
        until(lambda: self.site.rows(open_jobs) == [(0,)], "the queue to be empty", DEADLINE)

    def _client(self, caller: Caller) -> None:
        try:
            while (ticket := self._tickets.get()) is not None:
                self._upload(caller, random.Random(self.plan.seed + ticket))  # noqa: S311
        except BaseException as error:  # `run` raises it again
            self._errors.append(error)

    def _upload(self, caller: Caller, chance: random.Random) -> None:
        """Reserves, uploads and confirms one asset, with retries. Some uploads begin with an aborted PUT."""
        data, duration = _recording(chance)
        body = {"type": "audio", "content_type": "audio/wav", "size_bytes": len(data)}
        reservation = self._call(lambda: caller.http.post("/assets/upload-url", json=body), 201).json()
        asset: str = reservation["asset"]["id"]
        if chance.random() < 0.3:
            self._abort_put(reservation["upload"], data)
        first = time.monotonic()
        while True:
            assert time.monotonic() < first + DEADLINE, f"asset {asset} could not be uploaded"
            try:
                sent = httpx.put(
                    reservation["upload"]["url"],
                    headers={**reservation["upload"]["headers"], "Content-Length": str(len(data))},
                    content=_slowly(data),
                    timeout=10,
                )
            except httpx.TransportError:
                self.responses["PUTs interrupted by a fault"] += 1
                continue
            if sent.status_code == 200:
                self.acknowledged[asset] = duration
                break
            if "already has its bytes" in sent.text or sent.json().get("statusCode") == "409":
                # An earlier PUT landed although its response did not arrive.
                self.acknowledged[asset] = duration
                if any(first <= shutdown for shutdown in self._postgres_shutdowns):
                    self.unconfirmed.add(asset)
                self.responses["PUTs that landed without a response"] += 1
                break
            self.responses["PUTs rejected during a fault"] += 1
        self._call(lambda: caller.http.post(f"/assets/{asset}/confirm"), 200)

    def _call(self, call: Callable[[], httpx.Response], status: int) -> httpx.Response:
        """Calls the service until it responds with the status. Every other response must be a documented error."""
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                response = call()
            except httpx.TransportError:
                self.responses["calls interrupted by a fault"] += 1
                time.sleep(0.05)
                continue
            if response.status_code == status:
                return response
            try:
                code = error_of(response)["code"]
            except (AssertionError, ValueError, KeyError):
                self.invalid_responses.append(f"{response.status_code} {response.text[:300]}")
                continue
            self.responses[f"responses {response.status_code} {code}"] += 1
            if response.status_code not in (503, 504):
                self.invalid_responses.append(f"unexpected {response.status_code} {response.text[:300]}")
            time.sleep(0.1)
        raise AssertionError(f"no {status} in {DEADLINE} s")

    def _abort_put(self, target: Json, data: bytes) -> None:
        """Disconnects in the middle of a PUT."""
        parts = urlsplit(target["url"])
        head = (
            f"PUT {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {len(data)}\r\n"
            f"Content-Type: audio/wav\r\n\r\n"
        )
        try:
            with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=5) as connection:
                connection.sendall(head.encode() + data[: len(data) // 2])
        except OSError:
            pass
        self.responses["PUTs aborted by their client"] += 1


def _recording(chance: random.Random) -> tuple[bytes, str]:
    """A WAV file of random length, and its duration."""
    milliseconds = chance.randrange(500, 6000)
    return tone(milliseconds / 1000), f"{milliseconds / 1000:.3f}"


def _slowly(data: bytes) -> Iterator[bytes]:
    step = -(-len(data) // CHUNKS)
    for start in range(0, len(data), step):
        yield data[start : start + step]
        time.sleep(0.01)  # imitates a slow connection
