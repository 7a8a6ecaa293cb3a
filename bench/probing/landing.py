"""Latency of a single upload, from landed to `ready`, on an otherwise idle system."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from bench.installation import Installation, Owner
from bench.probing import alone
from bench.probing.media import Media
from bench.probing.outcome import outcomes, wait
from bench.processes import BackgroundLoad
from bench.report import Goal, Spread, Table

MARGIN_MS = 300
LATELY = (1.0, 6.0)  # seconds of pause; the worker had a job within the last 30
LONG_AGO = (31.0, 34.0)  # the worker had none
NOTE = """\
Landed → ready is the time between the two rows of `assetdock_app.asset_events`. Both transactions commit a moment \
after they write their row. ffprobe alone is the command above on the same URL, right after the probe, including the \
start of its process. "Above ffprobe alone" compares the medians."""


@dataclass
class Samples:
    """Milliseconds of each sample, after pauses of one kind."""

    pause: str
    to_ready: list[float] = field(default_factory=list)
    ffprobe: list[float] = field(default_factory=list)
    background_cores: float = 0.0
    wrong: int = 0

    @property
    def above(self) -> float:
        """Milliseconds that queue, calls and checks add to one ffprobe."""
        return Spread(self.to_ready).median - Spread(self.ffprobe).median


def measure(
    installation: Installation, media: Sequence[Media], *, lately: int, long_ago: int
) -> tuple[Table, list[Goal]]:
    """Uploads `lately` files after short pauses and `long_ago` files after long ones. Raises BenchError."""
    worker = installation.worker("at-rest", "--concurrency", "2")
    owner = installation.owner()
    owner_files = islice(cycle(media), lately + long_ago)
    _upload(installation, owner, media[0], Samples("not counted"))  # connections, caches of tokens
    short = Samples(f"after {LATELY[0]:g}-{LATELY[1]:g} s")
    long = Samples(f"after more than {LONG_AGO[0] - 1:g} s")
    for samples, count, pause in ((short, lately, LATELY), (long, long_ago, LONG_AGO)):
        load = BackgroundLoad()
        for file in islice(owner_files, count):
            time.sleep(random.uniform(*pause))
            _upload(installation, owner, file, samples)
        samples.background_cores = load.cores()
    worker.stop()
    return _table((short, long)), [_goal(short), _goal(long)]


def _upload(installation: Installation, owner: Owner, media: Media, samples: Samples) -> None:
    asset_id = owner.land(media.path, **media.fields)
    wait(installation, [asset_id], timeout=60, every=0.05)
    (url,) = installation.download_urls([asset_id])
    samples.ffprobe.append(alone.one(url))
    outcome = outcomes(installation, [asset_id])[asset_id]
    samples.wrong += outcome.state != "ready" or not media.lasts(outcome.seconds)
    samples.to_ready.append(outcome.milliseconds)
    installation.delete_files([asset_id])


def _table(kinds: Sequence[Samples]) -> Table:
    rows = [
        [
            each.pause,
            str(len(each.to_ready)),
            Spread(each.to_ready).text(),
            Spread(each.ffprobe).text(),
            f"{each.above:.0f}",
            f"{each.background_cores:.2f}",
            f"**void**: {each.wrong} wrong" if each.wrong else "all",
        ]
        for each in kinds
    ]
    columns = ["one upload at rest", "uploads", "landed → ready, ms", "ffprobe alone, ms", "above ffprobe alone, ms"]
    return Table([*columns, "background cores", "ready, right duration"], rows, NOTE)


def _goal(samples: Samples) -> Goal:
    return Goal(
        f"Worker: landed → ready at rest, {samples.pause}",
        f"median ≤ ffprobe alone + {MARGIN_MS} ms",
        f"ffprobe alone {samples.above:+.0f} ms" + (" (void: wrong outcomes)" if samples.wrong else ""),
        met=samples.above <= MARGIN_MS and not samples.wrong,
    )
