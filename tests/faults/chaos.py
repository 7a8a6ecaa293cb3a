"""Clients that upload, and a driver that kills what they upload through."""

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

PATIENCE = 90.0  # seconds a client goes on trying for one upload, and the site has to recover
PIECES = 12  # of a body, so that a PUT lasts long enough to be hit


@dataclass(frozen=True)
class Plan:
    """How much is done: every kind of fault happens `rounds` times."""

    uploads: int
    clients: int
    rounds: int
    seed: int = 20261124


@dataclass(frozen=True)
class Table:
    """What became of the assets."""

    text: str
    lost: list[str]
    doubled: list[str]
    stuck: list[str]
    wrong_durations: list[tuple[str, str]]


@dataclass
class Chaos:
    """One run. Processes are started from the thread that calls `run`."""

    site: Site
    plan: Plan
    chance: random.Random
    faults: Counter[str] = field(default_factory=Counter)
    acknowledged: dict[str, str] = field(default_factory=dict)  # asset → duration, for every PUT answered with 200
    unheard: set[str] = field(default_factory=set)  # of them, those whose PUT met the end of Postgres and landed
    _ends_of_postgres: list[float] = field(default_factory=list)  # time.monotonic
    outside_the_envelope: list[str] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    _tickets: "queue.Queue[int | None]" = field(default_factory=queue.Queue)
    _errors: list[BaseException] = field(default_factory=list)

    @property
    def kinds(self) -> dict[str, Callable[[], None]]:
        """The faults, by the names they have in the table."""
        children = self.site.stack.children
        return {
            "worker killed": lambda: self._kill(self.site.workers[self.chance.choice(["one", "two"])]),
            "service killed": lambda: self._kill(self.site.service),
            "PostgREST killed": lambda: self._kill(children["postgrest"]),
            "Postgres: immediate shutdown": self._shut_postgres_down,
            "gateway (Storage, Auth) killed": lambda: self._kill(children["gateway"]),
        }

    def run(self) -> None:
        """Lets the clients loose, kills, and waits until everything has come to rest."""
        for name in ("one", "two"):
            self.site.worker(name)
        callers = [self.site.owner() for _ in range(self.plan.clients)]
        threads = [threading.Thread(target=self._client, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        faults = [kill for kill in self.kinds.items() for _ in range(self.plan.rounds)]
        self.chance.shuffle(faults)
        # Each fault meets its share of the uploads, at some point of their way.
        shares = [list(range(self.plan.uploads))[n :: len(faults)] for n in range(len(faults))]
        for (kind, kill), share in zip(faults, shares, strict=True):
            for upload in share:
                self._tickets.put(upload)
            time.sleep(self.chance.uniform(0.05, 0.8))  # the fault's place on the uploads' way
            kill()
            self.faults[kind] += 1
        for _ in threads:
            self._tickets.put(None)
        for thread in threads:
            thread.join(2 * PATIENCE)
        if self._errors:
            raise self._errors[0]
        assert not [thread for thread in threads if thread.is_alive()], "a client never came to an end"
        self._settle()

    def table(self) -> Table:
        """Faults by kind, and what is true of the assets now."""
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
        # Storage takes back the bytes of a landing that its database refused. One that dies as it commits has told
        # Storage nothing, so the row may stand without its bytes: no PUT had a 200, and the asset says what to do.
        bare = self._bare()
        taken = [asset for asset in self.unheard & bare if states[asset] == "failed: bytes_missing"]
        lost = [
            f"{asset} {state}"
            for asset, state in states.items()
            if state not in ("ready", "processing") and asset not in taken
        ]
        stuck = [asset for asset, state in states.items() if state == "processing"]
        doubled = [asset for asset, (_, _, ready, landed) in found.items() if ready > 1 or landed > 1]
        wrong = [
            (asset, str(found[asset][1]))
            for asset, duration in self.acknowledged.items()
            if asset in found and found[asset][0] == "ready" and found[asset][1] != duration
        ]
        rows = [*sorted(self.faults.items()), *sorted(self.answers.items())]
        rows += [
            ("uploads planned", self.plan.uploads),
            ("assets acknowledged", len(ids)),
            ("lost", len(lost)),
            ("taken back by Storage, and failed", len(taken)),
            ("doubled", len(doubled)),
            ("stuck", len(stuck)),
            ("answers outside the envelope", len(self.outside_the_envelope)),
            ("files without an object", self._orphans()),
        ]
        return Table("\n".join(f"{name:<36}{number:>6}" for name, number in rows), lost, doubled, stuck, wrong)

    def _orphans(self) -> int:
        """Bytes whose Storage died between writing and recording them: reachable for nobody."""
        return len(self._files() - self._recorded())

    def _bare(self) -> set[str]:
        """Assets of which Storage has the row, but not the bytes."""
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
        """SIGQUIT: no checkpoint, no goodbye; the log is replayed at the next start."""
        child = self.site.stack.children["postgres"]
        assert child.process
        self._ends_of_postgres.append(time.monotonic())
        child.process.send_signal(signal.SIGQUIT)
        child.process.wait(20)
        signal_group(child.pid, signal.SIGKILL)
        child.restart()

    def _settle(self) -> None:
        open_jobs = (
            "select count(*) from assetdock_private.jobs where finished_at is null"
            " and (kind = 'probe' or lease_token is not null)"
        )
        until(lambda: self.site.rows(open_jobs) == [(0,)], "the queue to be worked off", PATIENCE)

    def _client(self, caller: Caller) -> None:
        try:
            while (ticket := self._tickets.get()) is not None:
                self._upload(caller, random.Random(self.plan.seed + ticket))  # noqa: S311
        except BaseException as error:  # raised again by the thread that waits for this one
            self._errors.append(error)

    def _upload(self, caller: Caller, chance: random.Random) -> None:
        """One asset: reserved, sent (cut off first, now and then), confirmed. Goes on until it is acknowledged."""
        data, duration = _recording(chance)
        reservation = self._ask(lambda: caller.http.post("/assets/upload-url", json=_wish(data)), 201).json()
        asset: str = reservation["asset"]["id"]
        if chance.random() < 0.3:
            self._cut_off(reservation["upload"], data)
        first = time.monotonic()
        while True:
            assert time.monotonic() < first + PATIENCE, f"asset {asset} could not be uploaded"
            try:
                sent = httpx.put(
                    reservation["upload"]["url"],
                    headers={**reservation["upload"]["headers"], "Content-Length": str(len(data))},
                    content=_in_pieces(data),
                    timeout=10,
                )
            except httpx.TransportError:
                self.answers["PUTs broken off by a fault"] += 1
                continue
            if sent.status_code == 200:
                self.acknowledged[asset] = duration
                break
            if "already has its bytes" in sent.text or sent.json().get("statusCode") == "409":
                # An earlier PUT landed although its answer never came: as good as acknowledged.
                self.acknowledged[asset] = duration
                if any(first <= end for end in self._ends_of_postgres):
                    self.unheard.add(asset)
                self.answers["PUTs that landed unheard"] += 1
                break
            self.answers["PUTs refused during a fault"] += 1
        self._ask(lambda: caller.http.post(f"/assets/{asset}/confirm"), 200)

    def _ask(self, call: Callable[[], httpx.Response], status: int) -> httpx.Response:
        """Asks the service until it answers so; whatever else it says must be an error in its envelope."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                answer = call()
            except httpx.TransportError:
                self.answers["calls broken off by a fault"] += 1
                time.sleep(0.05)
                continue
            if answer.status_code == status:
                return answer
            try:
                code = error_of(answer)["code"]
            except (AssertionError, ValueError, KeyError):
                self.outside_the_envelope.append(f"{answer.status_code} {answer.text[:300]}")
                continue
            self.answers[f"calls answered {answer.status_code} {code}"] += 1
            if answer.status_code not in (503, 504):
                self.outside_the_envelope.append(f"unexpected {answer.status_code} {answer.text[:300]}")
            time.sleep(0.1)
        raise AssertionError(f"no {status} in {PATIENCE} s")

    def _cut_off(self, target: Json, data: bytes) -> None:
        """A client that dies in the middle of its PUT."""
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
        self.answers["PUTs cut off by their client"] += 1


def _recording(chance: random.Random) -> tuple[bytes, str]:
    """A WAV of some length, and the length."""
    milliseconds = chance.randrange(500, 6000)
    return tone(milliseconds / 1000), f"{milliseconds / 1000:.3f}"


def _wish(data: bytes) -> Json:
    return {"type": "audio", "content_type": "audio/wav", "size_bytes": len(data)}


def _in_pieces(data: bytes) -> Iterator[bytes]:
    step = -(-len(data) // PIECES)
    for start in range(0, len(data), step):
        yield data[start : start + step]
        time.sleep(0.01)  # the speed of the line
