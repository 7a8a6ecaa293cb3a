"""What a large file costs in memory: `python -m bench.transfer [--quick]`."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.installation import BenchError, Installation, Json, Owner, running
from bench.processes import BackgroundLoad, usage
from bench.report import Goal, Section, Table, goals_table

MIB = 1024 * 1024
TUS_CLIENT = Path(__file__).with_name("transfer.mjs")
SAMPLE_SECONDS = 0.1
# What buffers and allocators may take for one upload, however long it is: a 6 MiB chunk of TUS some times over.
MOST_MIB = 64
GROWTH_MIB = 16  # between the smaller file and the larger one: noise, not a share of the bytes
INTRO = """\
On hosted Supabase these bytes go from the client to Supabase's Storage and never pass through Assetdock, neither its \
service nor its worker. What is measured here is the local stack's stand-in for that Storage (`devstack/storage`, in \
the gateway's process), so that nobody who works on a laptop loses memory to a long film, and, beside it, the \
service, which sees none of the bytes. PUT is `curl -T`; TUS is the unmodified tus-js-client under Node, in the \
chunks that the reservation names. The file is sparse, its bytes are zeros: nothing on the way compresses."""
NOTE = """\
Resident memory (VmRSS) in MiB, read every 100 ms. Before: after one small upload of each kind, so that code and \
connections are there. Peak: of all samples during the upload. After: two seconds after it. Landed: the asset left \
`pending_upload` with the size that was sent."""


@dataclass(frozen=True)
class Memory:
    """Resident bytes of one process."""

    before: int
    peak: int
    after: int

    @property
    def growth(self) -> float:
        """MiB, from before to the peak."""
        return (self.peak - self.before) / MIB

    def cells(self) -> list[str]:
        """Of the table."""
        return [f"{number / MIB:.0f}" for number in (self.before, self.peak, self.after)]


@dataclass(frozen=True)
class Transfer:
    """One upload."""

    how: str
    size: int
    seconds: float
    gateway: Memory
    service: Memory
    background_cores: float
    landed: bool


@dataclass
class Watch:
    """Samples the resident memory of a process until it is stopped."""

    pid: int
    before: int = 0
    peak: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Samples during the block."""
        self.before = self.peak = usage(self.pid).resident_bytes
        thread = threading.Thread(target=self._sample, name=f"memory of {self.pid}")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def memory(self) -> Memory:
        """What was seen, and what there is now."""
        return Memory(self.before, self.peak, usage(self.pid).resident_bytes)

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, usage(self.pid).resident_bytes)


def put(file: Path, upload: Json) -> None:
    """One PUT by curl. Raises BenchError."""
    headers = [part for name, value in upload["headers"].items() for part in ("-H", f"{name}: {value}")]
    _run(
        [
            "curl",
            "-sS",
            "--fail-with-body",
            "--noproxy",
            "*",
            "-o",
            "/dev/null",
            "-T",
            str(file),
            *headers,
            upload["url"],
        ]
    )


def tus(file: Path, upload: Json) -> None:
    """In parts, by tus-js-client. Raises BenchError."""
    _run(["node", str(TUS_CLIENT), str(file), json.dumps(upload["resumable"])])


WAYS: dict[str, Callable[[Path, Json], None]] = {"PUT": put, "TUS": tus}


def run(quick: bool) -> Section:
    """256 MiB and 1 GiB by each way; quick: 32 and 128 MiB. Raises BenchError."""
    small, large = (32 * MIB, 128 * MIB) if quick else (256 * MIB, 1024 * MIB)
    with running() as installation:
        owner = installation.owner()
        for how in WAYS:
            _transfer(installation, owner, how, 8 * MIB)
        done = [_transfer(installation, owner, how, size) for how in WAYS for size in (small, large)]
    goals = [goal for how in WAYS for goal in _goals(how, [each for each in done if each.how == how])]
    return Section("A gigabyte on its way", INTRO, [_table(done)], goals)


def _transfer(installation: Installation, owner: Owner, how: str, size: int) -> Transfer:
    file = installation.stack.state_dir / "sent"
    with file.open("wb") as sparse:
        sparse.truncate(size)
    reservation = owner.reserve(type="video", content_type="video/mp4", size_bytes=size)
    gateway, service = Watch(installation.stack.children["gateway"].pid), Watch(installation.service.pid)
    load, started = BackgroundLoad(), time.monotonic()
    with gateway.watching(), service.watching():
        WAYS[how](file, reservation["upload"])
    seconds = time.monotonic() - started
    time.sleep(2)
    asset_id = str(reservation["asset"]["id"])
    found = installation.rows("select state, size_bytes from assetdock_app.assets where id = %s", asset_id)
    transfer = Transfer(
        how, size, seconds, gateway.memory(), service.memory(), load.cores(), landed=found == [("processing", size)]
    )
    installation.delete_files([asset_id])
    file.unlink()
    return transfer


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if ended.returncode != 0:
        raise BenchError(f"{command[0]} ended with {ended.returncode}: {ended.stderr[-500:]}")


def _table(done: list[Transfer]) -> Table:
    rows = [
        [
            each.how,
            f"{each.size // MIB} MiB",
            f"{each.seconds:.1f}",
            f"{each.size / MIB / each.seconds:.0f}",
            *each.gateway.cells(),
            *each.service.cells(),
            f"{each.background_cores:.2f}",
            "yes" if each.landed else "**no**",
        ]
        for each in done
    ]
    memory = [f"{process} {when}" for process in ("gateway", "service") for when in ("before", "peak", "after")]
    return Table(["", "file", "seconds", "MiB/s", *memory, "background cores", "landed"], rows, NOTE)


def _goals(how: str, done: list[Transfer]) -> list[Goal]:
    small, large = done
    growth, landed = large.gateway.growth, all(each.landed for each in done)
    more = (large.gateway.peak - small.gateway.peak) / MIB
    missing = "" if landed else " (not landed)"
    return [
        Goal(
            f"Bytes: memory of the local gateway during {large.size // MIB} MiB by {how}",
            f"peak ≤ {MOST_MIB} MiB above before",
            f"{growth:+.0f} MiB{missing}",
            met=landed and growth <= MOST_MIB,
        ),
        Goal(
            f"Bytes: the same from {small.size // MIB} to {large.size // MIB} MiB by {how}",
            f"peak grows by ≤ {GROWTH_MIB} MiB",
            f"{more:+.0f} MiB{missing}",
            met=landed and more <= GROWTH_MIB,
        ),
    ]


if __name__ == "__main__":
    section = run("--quick" in sys.argv[1:])
    print(section.markdown(), goals_table([section]), sep="\n\n")
