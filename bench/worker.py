"""The worker part of the benchmark: `python -m bench.worker [--quick]` runs only this part."""

import sys

from bench.installation import running
from bench.probing import idle, landing, reads, throughput
from bench.probing.media import make
from bench.report import Section, goals_table

INTRO = """\
Real files of twelve kinds, made by ffmpeg, uploaded as separate assets through the API to a local stack (real \
Postgres and PostgREST; gateway and Storage are the stand-ins), with the default settings of service and worker. The \
worker is compared with `xargs -P2 -n1 ffprobe -v error -print_format json -show_format -show_streams URL` on signed \
URLs of the same objects through the same gateway. xargs trusts the header and runs without limits; the \
worker checks the claimed duration against the last packets, runs each ffprobe in a sandbox, requests a signed \
URL, and records the outcome."""


def run(quick: bool) -> Section:
    """Measures throughput, latency of a single upload, idle cost, and bytes read. Raises BenchError."""
    with running() as installation:
        media = make(installation.stack.state_dir / "media")
        full, throughput_goal = throughput.measure(
            installation, media, rounds=2 if quick else 5, files=12 if quick else 100
        )
        single, landing_goals = landing.measure(
            installation, media, lately=4 if quick else 24, long_ago=1 if quick else 5
        )
        polling, idle_goal = idle.measure(installation, seconds=3 if quick else 30, settle=0 if quick else 32)
        long = media if quick else make(installation.stack.state_dir / "long", times=5)
        read, read_goal = reads.measure(installation, long)
    goals = [throughput_goal, *landing_goals, idle_goal, read_goal]
    return Section("The worker", INTRO, [full, single, polling, read], goals)


if __name__ == "__main__":
    section = run("--quick" in sys.argv[1:])
    print(section.markdown(), goals_table([section]), sep="\n\n")
