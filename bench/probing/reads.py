"""How much of a file a probe reads off Storage, counted where the bytes pass."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.installation import Installation
from bench.probing import alone
from bench.probing.counting import Counts, counting
from bench.probing.media import Media
from bench.probing.outcome import outcomes, wait
from bench.report import Goal, Table

MOST = 0.1  # of a file of some tens of megabytes; of a longer one it is less, for most of what is read doesn't grow
NOTE = """\
For this measurement alone the worker's SUPABASE_URL, and with it the signed URLs, lead through a TCP forwarder of the \
benchmark, which counts every byte that goes back to it and to ffprobe, HTTP headers included. What the kernels hold \
in flight when ffprobe closes a connection counts, although ffprobe never takes it: on loopback that is a few hundred \
kilobytes for each of ffprobe's. Read whole are MP3s below 4 MiB, where that costs less than anything else, those that \
were not declared as MP3, and those of a variable bit rate of which nothing counts the frames, or nothing that a \
checksum protects: they are not among these. ffprobe alone believes the header, or guesses from the bit rate."""


@dataclass(frozen=True)
class Read:
    """Bytes and requests of one probe by the worker, and of one ffprobe alone."""

    media: Media
    bytes: int
    requests: int
    alone: int
    right: bool

    @property
    def share(self) -> float:
        """Of the file."""
        return self.bytes / self.media.size


def measure(installation: Installation, media: Sequence[Media]) -> tuple[Table, Goal]:
    """Each file once. Raises BenchError."""
    owner = installation.owner()
    with counting(installation.stack.ports.gateway) as counts:
        worker = installation.worker("counted", "--concurrency", "1", supabase_url=counts.url)
        landed = {owner.land(each.path, **each.fields): each for each in media}
        wait(installation, list(landed), timeout=120)
        worker.stop()
        reads = [_read(installation, counts, *each) for each in landed.items()]
    installation.delete_files(list(landed))
    return _table(reads), _goal(reads)


def _read(installation: Installation, counts: Counts, asset_id: str, media: Media) -> Read:
    by_worker, requests = counts.sent[asset_id], counts.requests[asset_id]
    (url,) = installation.download_urls([asset_id])
    alone.one(url.replace(installation.stack.supabase_url, counts.url))
    outcome = outcomes(installation, [asset_id])[asset_id]
    right = outcome.state == "ready" and media.lasts(outcome.seconds)
    return Read(media, by_worker, requests, counts.sent[asset_id] - by_worker, right)


def _table(reads: Sequence[Read]) -> Table:
    rows = [
        [
            each.media.kind.label,
            f"{each.media.size / 1e6:.1f}",
            f"{each.bytes / 1e6:.2f}",
            f"{each.share:.1%}",
            str(each.requests),
            f"{each.alone / 1e6:.2f}",
            "yes" if each.right else "**no**",
        ]
        for each in reads
    ]
    columns = ["format", "file, MB", "read by the worker, MB", "share", "requests", "read by ffprobe alone, MB"]
    return Table([*columns, "ready, right duration"], rows, NOTE)


def _goal(reads: Sequence[Read]) -> Goal:
    read, size = sum(each.bytes for each in reads), sum(each.media.size for each in reads)
    worst = max(reads, key=lambda each: each.share)
    return Goal(
        "Worker: bytes read from Storage for a probe",
        f"each ≤ {MOST:.0%} of its file",
        f"{read / size:.1%} of all; most {worst.share:.1%} ({worst.media.kind.label})",
        met=worst.share <= MOST and all(each.right for each in reads),
    )
