"""The baseline for the worker: ffprobe called directly, without a sandbox or a queue."""

import subprocess
import time
from collections.abc import Sequence

from bench.installation import BenchError

COMMAND = ("ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams")


def one(url: str) -> float:
    """Milliseconds that one ffprobe takes, including its start. Raises BenchError when it fails."""
    started = time.perf_counter()
    ended = subprocess.run([*COMMAND, url], stdout=subprocess.DEVNULL, check=False, timeout=120)
    if ended.returncode != 0:
        raise BenchError(f"ffprobe ended with {ended.returncode}.")
    return (time.perf_counter() - started) * 1000


def two_at_a_time(urls: Sequence[str]) -> float:
    """Seconds that `xargs -P2 -n1 ffprobe` takes for all of them. Raises BenchError when one fails."""
    started = time.perf_counter()
    ended = subprocess.run(
        ["xargs", "-P2", "-n1", *COMMAND],
        input="\n".join(urls).encode(),
        stdout=subprocess.DEVNULL,
        check=False,
        timeout=1800,
    )
    if ended.returncode != 0:
        raise BenchError(f"xargs ended with {ended.returncode}: an ffprobe failed.")
    return time.perf_counter() - started
