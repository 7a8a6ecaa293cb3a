"""Everything in one go: `python -m bench [--quick] [--out FILE] [PART …]`. Prints progress, writes Markdown.

Exit code 0 when every goal was reached, 1 when one was not, 2 when something that is needed is missing.
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
    """Runs the parts that were named, all when none was."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What Assetdock costs, measured.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all when none is named")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it works; the numbers say nothing"
    )
    parser.add_argument("--out", type=Path, help="where to write the Markdown, besides printing it")
    options = parser.parse_args(arguments)
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    started, foreign = time.monotonic(), BackgroundLoad()
    sections = []
    try:
        for name in options.parts or PARTS:
            print(f"== {name}", file=sys.stderr)
            sections.append(PARTS[name](options.quick))
            text = document(sections, time.monotonic() - started, foreign.cores(), quick=options.quick)
            if options.out is not None:
                options.out.write_text(text)  # after each part: what was measured stays, whatever comes next
    except (ToolMissingError, PgbenchError, BenchError, StackError) as error:
        print(error, file=sys.stderr)
        return 2
    print(text)
    return 0 if all(goal.met for section in sections for goal in section.goals) else 1


def document(sections: Sequence[Section], seconds: float, foreign: float, *, quick: bool) -> str:
    """The whole of it: goals first, then how each was measured."""
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
    made = (
        f"Made by `make bench` on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}, in {seconds / 60:.0f} minutes, on "
        f"{machine()}. Versions: {facts}. Foreign load on the machine meanwhile: {foreign:.2f} cores."
    )
    paragraphs = [
        "# What it costs",
        "**Made with `--quick`: the numbers say nothing.** " + made if quick else made,
        "Numbers are medians over rounds, with the least and the most in parentheses. They compare what ran side by "
        "side in this one run; on another machine each will be different, and the ratios hardly.",
        "## What was to be reached",
        goals_table(sections),
        *(section.markdown() for section in sections),
    ]
    return "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    sys.exit(main())
