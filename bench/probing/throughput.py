"""Throughput of a worker with a full queue, compared with `xargs -P2 ffprobe` on the same URLs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import cycle, islice

from bench.installation import BenchError, Installation, Owner, resume, suspend
from bench.probing import alone
from bench.probing.media import Media
from bench.probing.outcome import Outcome, outcomes, wait
from bench.processes import BackgroundLoad
from bench.report import Goal, Spread, Table
from devstack.child import Child

LEAST = 0.85
# A lease sets available_at to its expiry (60 seconds by default), and finishing a job does not change it.
FIRST_LEASE = """
select min(available_at) - interval '60 seconds'
from assetdock_private.jobs where kind = 'probe' and asset_id = any (%s)
"""
NOTE = """\
The worker's time runs from its first lease to the last asset's `ready`, by the database's clock. It includes leasing, \
a signed URL per file, every sandboxed ffprobe pass, and recording the outcome; it excludes the start of Python and \
the wait of at most a second until an idle worker polls the queue. The time of xargs is that of the whole command. A \
round is void, and does not count, unless every asset becomes `ready` with the duration of its file (within 0.15 s). \
Foreign cores: CPU that other processes used during the round."""


@dataclass(frozen=True)
class Round:
    """One round. `void` is the reason why it does not count, or empty."""

    files: int
    worker_first: bool
    worker_seconds: float
    xargs_seconds: float
    background_cores: float
    void: str

    @property
    def ratio(self) -> float:
        """The worker's throughput divided by that of xargs."""
        return self.xargs_seconds / self.worker_seconds


def measure(installation: Installation, media: Sequence[Media], *, rounds: int, files: int) -> tuple[Table, Goal]:
    """`rounds` rounds of `files` files each. Raises BenchError."""
    owner = installation.owner()
    worker = installation.worker("full-queue", "--concurrency", "2")
    suspend(worker)
    mixed = list(islice(cycle(media), rounds * files))
    done = [
        _round(installation, owner, worker, mixed[n * files : (n + 1) * files], worker_first=bool(n % 2))
        for n in range(rounds)
    ]
    resume(worker)
    worker.stop()
    return _table(done), _goal(done)


def _round(
    installation: Installation, owner: Owner, worker: Child, files: Sequence[Media], *, worker_first: bool
) -> Round:
    landed = {owner.land(media.path, **media.fields): media for media in files}
    urls = installation.download_urls(list(landed))
    load = BackgroundLoad()
    if worker_first:
        worker_seconds = _work(installation, worker, list(landed))
        xargs_seconds = alone.two_at_a_time(urls)
    else:
        xargs_seconds = alone.two_at_a_time(urls)
        worker_seconds = _work(installation, worker, list(landed))
    background_cores = load.cores()
    void = _void(landed, outcomes(installation, list(landed)))
    installation.delete_files(list(landed))
    return Round(len(files), worker_first, worker_seconds, xargs_seconds, background_cores, void)


def _work(installation: Installation, worker: Child, asset_ids: Sequence[str]) -> float:
    """Resumes the worker; returns the seconds from its first lease to the last `ready`. Raises BenchError."""
    (woken,) = installation.rows("select clock_timestamp()")[0]
    resume(worker)
    wait(installation, asset_ids, timeout=60 + 2.0 * len(asset_ids))
    suspend(worker)
    (first,) = installation.rows(FIRST_LEASE, list(asset_ids))[0]
    last: datetime = max(
        outcome.ready_at or outcome.landed_at for outcome in outcomes(installation, asset_ids).values()
    )
    if not woken <= first <= woken + timedelta(seconds=5):
        raise BenchError("The first lease does not match available_at. Is the lease still 60 seconds?")
    return float((last - first).total_seconds())


def _void(landed: Mapping[str, Media], found: Mapping[str, Outcome]) -> str:
    wrong = [
        f"{media.kind.name} {found[asset_id].state} {found[asset_id].seconds}"
        for asset_id, media in landed.items()
        if found[asset_id].state != "ready" or not media.lasts(found[asset_id].seconds)
    ]
    return f"{len(wrong)} wrong, first {wrong[0]}" if wrong else ""


def _table(rounds: Sequence[Round]) -> Table:
    rows = [
        [
            f"{number} ({'worker' if each.worker_first else 'xargs'} first)",
            str(each.files),
            f"{each.files / each.worker_seconds:.1f}",
            f"{each.files / each.xargs_seconds:.1f}",
            f"{each.ratio:.2f}",
            f"{each.background_cores:.2f}",
            f"**void**: {each.void}" if each.void else "all",
        ]
        for number, each in enumerate(rounds, 1)
    ]
    columns = ["round", "files", "worker --concurrency 2, files/s", "xargs -P2 ffprobe, files/s", "ratio"]
    return Table([*columns, "background cores", "ready, right duration"], rows, NOTE)


def _goal(rounds: Sequence[Round]) -> Goal:
    counted = [each.ratio for each in rounds if not each.void]
    what = f"Worker: throughput over {sum(each.files for each in rounds)} files of mixed formats"
    wanted = f"≥ {LEAST} of xargs -P2 ffprobe"
    if not counted:
        return Goal(what, wanted, "every round was void", met=False)
    spread = Spread(counted)
    return Goal(what, wanted, spread.text(2), met=spread.median >= LEAST)
