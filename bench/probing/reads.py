"""How many bytes of a file a probe reads from Storage, counted by a forwarder in between."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.installation import Installation
from bench.probing import alone
from bench.probing.counting import Counts, counting
from bench.probing.media import Media
from bench.probing.outcome import outcomes, wait
from bench.report import Goal, Table

# Of a file of some tens of megabytes. The share of longer files is smaller, because most reads have a fixed size.
MOST = 0.1
NOTE = """\
For this measurement the worker's SUPABASE_URL, and so the signed URLs, lead through a TCP forwarder of the benchmark. \
It counts every response byte to the worker and to ffprobe, HTTP headers included. Bytes in the kernel's buffers \
count even if ffprobe closes the connection without reading them: on loopback a few hundred kilobytes per connection. \
The worker reads three kinds of MP3 whole, which are not in this table: files below 4 MiB, where reading is cheapest; \
files not declared as MP3; and files of a variable bit rate without a frame count that a checksum protects. ffprobe \
alone trusts the header, or estimates from the bit rate."""


@dataclass(frozen=True)
class Read:
    """Bytes and requests of one probe by the worker, and bytes of one ffprobe alone."""

    media: Media
    bytes: int
    requests: int
    alone: int
    right: bool

    @property
    def share(self) -> float:
        """The worker's bytes divided by the file's size."""
        return self.bytes / self.media.size


def measure(installation: Installation, media: Sequence[Media]) -> tuple[Table, Goal]:
    """Probes each file once. Raises BenchError."""
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
