"""Memory during uploads of large files: `python -m bench.transfer [--quick]`."""

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
# For buffers and allocators during one upload of any size: several 6 MiB chunks of TUS.
MAX_GROWTH_MIB = 64
MAX_DIFFERENCE_MIB = 16  # noise between the peaks of both file sizes
INTRO = """\
On hosted Supabase, clients send bytes directly to Supabase Storage; they never pass through Assetdock's service or \
worker. This part measures the local stack's stand-in for Storage (`devstack/storage`, in the gateway's process), so \
that large files do not exhaust the memory of a developer's laptop, and the service, which receives none of the \
bytes. PUT is `curl -T`; TUS is the unmodified tus-js-client under Node, with the chunk size of the reservation. The \
file is sparse and consists of zeros; nothing compresses it on the way."""
NOTE = """\
Resident memory (VmRSS) in MiB, sampled every 100 ms. Before: after one small upload with each method, so that code \
is loaded and connections are open. Peak: the maximum during the upload. After: two seconds after it. Landed: the \
asset is `processing` and has the size that was sent."""


@dataclass(frozen=True)
class Memory:
    """Resident bytes of one process."""

    before: int
    peak: int
    after: int

    @property
    def growth(self) -> float:
        """The growth to the peak, in MiB."""
        return (self.peak - self.before) / MIB

    def cells(self) -> list[str]:
        """The cells of the table."""
        return [f"{number / MIB:.0f}" for number in (self.before, self.peak, self.after)]


@dataclass(frozen=True)
class Transfer:
    """One upload."""

    method: str
    size: int
    seconds: float
    gateway: Memory
    service: Memory
    background_cores: float
    landed: bool


@dataclass
class MemorySampler:
    """Samples the resident memory of a process."""

    pid: int
    before: int = 0
    peak: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Samples during the block."""
        self.before = self.peak = usage(self.pid).resident_bytes
        thread = threading.Thread(target=self._sample, name=f"memory of {self.pid}")
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def memory(self) -> Memory:
        """The samples, and the present memory."""
        return Memory(self.before, self.peak, usage(self.pid).resident_bytes)

    def _sample(self) -> None:
        while not self._stopped.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, usage(self.pid).resident_bytes)


def put(file: Path, upload: Json) -> None:
    """Uploads with one PUT by curl. Raises BenchError."""
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
    """Uploads in chunks with tus-js-client. Raises BenchError."""
    _run(["node", str(TUS_CLIENT), str(file), json.dumps(upload["resumable"])])


METHODS: dict[str, Callable[[Path, Json], None]] = {"PUT": put, "TUS": tus}


def run(quick: bool) -> Section:
    """Uploads 256 MiB and 1 GiB with each method; quick: 32 and 128 MiB. Raises BenchError."""
    small, large = (32 * MIB, 128 * MIB) if quick else (256 * MIB, 1024 * MIB)
    with running() as installation:
        owner = installation.owner()
        for method in METHODS:
            _transfer(installation, owner, method, 8 * MIB)
        done = [_transfer(installation, owner, method, size) for method in METHODS for size in (small, large)]
    goals = [goal for method in METHODS for goal in _goals(method, [each for each in done if each.method == method])]
    return Section("Memory during large uploads", INTRO, [_table(done)], goals)


def _transfer(installation: Installation, owner: Owner, method: str, size: int) -> Transfer:
    file = installation.stack.state_dir / "sent"
    with file.open("wb") as sparse:
        sparse.truncate(size)
    reservation = owner.reserve(type="video", content_type="video/mp4", size_bytes=size)
    gateway, service = (
        MemorySampler(installation.stack.children["gateway"].pid),
        MemorySampler(installation.service.pid),
    )
    load, started = BackgroundLoad(), time.monotonic()
    with gateway.sampling(), service.sampling():
        METHODS[method](file, reservation["upload"])
    seconds = time.monotonic() - started
    time.sleep(2)
    asset_id = str(reservation["asset"]["id"])
    found = installation.rows("select state, size_bytes from assetdock_app.assets where id = %s", asset_id)
    transfer = Transfer(
        method, size, seconds, gateway.memory(), service.memory(), load.cores(), landed=found == [("processing", size)]
    )
    installation.delete_files([asset_id])
    file.unlink()
    return transfer


def _run(command: list[str]) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if ended.returncode != 0:
        raise BenchError(f"{command[0]} failed with status {ended.returncode}: {ended.stderr[-500:]}")


def _table(done: list[Transfer]) -> Table:
    rows = [
        [
            each.method,
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
    return Table(["method", "file", "seconds", "MiB/s", *memory, "background cores", "landed"], rows, NOTE)


def _goals(method: str, done: list[Transfer]) -> list[Goal]:
    small, large = done
    growth, landed = large.gateway.growth, all(each.landed for each in done)
    difference = (large.gateway.peak - small.gateway.peak) / MIB
    missing = "" if landed else " (not landed)"
    return [
        Goal(
            f"Uploads: memory of the local gateway during {large.size // MIB} MiB by {method}",
            f"peak grows by ≤ {MAX_GROWTH_MIB} MiB",
            f"{growth:+.0f} MiB{missing}",
            met=landed and growth <= MAX_GROWTH_MIB,
        ),
        Goal(
            f"Uploads: peak memory at {large.size // MIB} MiB relative to {small.size // MIB} MiB by {method}",
            f"≤ {MAX_DIFFERENCE_MIB} MiB more",
            f"{difference:+.0f} MiB{missing}",
            met=landed and difference <= MAX_DIFFERENCE_MIB,
        ),
    ]


if __name__ == "__main__":
    section = run("--quick" in sys.argv[1:])
    print(section.markdown(), goals_table([section]), sep="\n\n")
