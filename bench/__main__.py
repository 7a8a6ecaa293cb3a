"""The benchmark: `python -m bench [--quick] [--out FILE] [PART …]`. Prints its progress and writes Markdown.

Exit status: 0 if every goal is met, 1 if one is not, 2 if a required program is missing.
"""

import argparse
import datetime
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import request_path, sql, transfer, worker
from bench.installation import BenchError
from bench.processes import BackgroundLoad, machine, version
from bench.report import Section, goals_table
from bench.serving.load import ToolMissingError
from bench.serving.upstreams import require_nginx
from bench.tables.pgbench import PgbenchError
from devstack.binaries import find_postgres, find_postgrest
from devstack.errors import StackError

PARTS: dict[str, Callable[[bool], Section]] = {
    "request-path": request_path.run,
    "sql": sql.run,
    "worker": worker.run,
    "bytes": transfer.run,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the given parts, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the performance of Assetdock.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; the default is all")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="small sizes, to check that the benchmark works; the numbers are meaningless",
    )
    parser.add_argument("--out", type=Path, help="also write the Markdown to this file")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    started, background = time.monotonic(), BackgroundLoad()
    sections = []
    try:
        for name in options.parts or PARTS:
            print(f"== {name}", file=sys.stderr)
            sections.append(PARTS[name](options.quick))
            text = document(sections, time.monotonic() - started, background.cores(), quick=options.quick)
            if options.out is not None:
                options.out.write_text(text)  # after each part, in case a later one fails
    except (ToolMissingError, PgbenchError, BenchError, StackError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0 if all(goal.met for section in sections for goal in section.goals) else 1


def document(sections: Sequence[Section], seconds: float, background: float, *, quick: bool) -> str:
    """The Markdown of the results: the goals, then each section."""
    versions = {
        "Postgres": version(str(find_postgres().postgres), "--version"),
        "PostgREST": version(str(find_postgrest()), "--version"),
        "Python": version(sys.executable, "--version"),
        "Node": version("node", "--version"),
        "ffprobe": version("ffprobe", "-version"),
        "nginx": version(require_nginx(), "-v"),
        "wrk": version("wrk", "-v"),
    }
    facts = "; ".join(f"{name} {text}" for name, text in versions.items())
    run = (
        f"Measured by `make bench` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, in {seconds / 60:.0f} minutes, "
        f"on {machine()}. Versions: {facts}. Background load: {background:.2f} cores."
    )
    paragraphs = [
        "# Benchmark results",
        "**Measured with `--quick`: the numbers are meaningless.** " + run if quick else run,
        "Numbers are medians of several rounds, with the minimum and maximum in parentheses. They compare programs "
        "that ran side by side in this run. On another machine the numbers will differ; the ratios will differ little.",
        "## Goals",
        goals_table(sections),
        *(section.markdown() for section in sections),
    ]
    return "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    sys.exit(main())
