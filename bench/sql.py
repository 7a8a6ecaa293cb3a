"""The SQL part of the benchmark: what statements cost as tables grow, which plans they have, and against a bare INSERT.

`python -m bench.sql [--quick]` prints it alone.
"""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from bench.report import Section, goals_table
from bench.tables import growth_report, pgbench, policies
from bench.tables.growth import QUICK_ROUNDS, ROUNDS, Growth
from bench.tables.population import DISTRIBUTIONS, create_owners
from bench.tables.statements import LANDING_TOOL, Scene
from devstack.ports import Ports
from devstack.scratch import scratch_directory
from devstack.stack import Stack

SIZES = (10_000, 100_000, 1_000_000)
# Not less: tables of a page or two are rightly read from end to end, and pages of lists would not be full.
QUICK_SIZES = (5_000, 20_000, 50_000)


def run(quick: bool) -> Section:
    """Starts a stack for each size, with the settings it ships with, and ends them. `quick` is for seeing that it
    works."""
    with ExitStack() as opened:
        directory = opened.enter_context(scratch_directory())
        stacks = {
            size: opened.enter_context(Stack(directory / str(size), Ports.free()))
            for size in (QUICK_SIZES if quick else SIZES)
        }
        return _measure(stacks, opened, directory, quick)


def _measure(stacks: Mapping[int, Stack], opened: ExitStack, directory: Path, quick: bool) -> Section:
    pgbench.find_pgbench()  # rather now than after ten minutes
    databases = {size: (stack.db_url, _connect(opened, stack)) for size, stack in stacks.items()}
    largest = max(stacks)
    stack, (_, connection) = stacks[largest], databases[largest]
    races = [pgbench.race(stack, connection, directory, assets=0, quick=quick)]
    growths: list[Growth] = []
    evaluations: list[policies.Evaluation] = []
    for distribution in DISTRIBUTIONS:
        growth = Growth(distribution, list(stacks), QUICK_ROUNDS if quick else ROUNDS)
        growth.measure(databases)
        growths.append(growth)
        evaluations += policies.evaluations(connection, Scene.of(connection, distribution, 1))
    races.append(pgbench.race(stack, connection, directory, assets=largest, quick=quick))
    return Section(
        "SQL",
        growth_report.intro(growths[0].rounds),
        [
            *(growth_report.costs_table(growth) for growth in growths),
            growth_report.indexes_table(growths),
            growth_report.plans_table(growths),
            policies.policies_table(evaluations),
            pgbench.races_table(races),
        ],
        [
            *growth_report.goals(growths),
            policies.policies_goal(evaluations),
            pgbench.races_goal(races),
        ],
    )


def _connect(opened: ExitStack, stack: Stack) -> psycopg.Connection[Any]:
    """With the owners in it, and the tools that fill the rest."""
    connection = opened.enter_context(
        psycopg.connect(stack.db_url, autocommit=True, cursor_factory=psycopg.ClientCursor)
    )
    create_owners(connection)
    connection.execute(LANDING_TOOL.encode())
    return connection


def main() -> None:
    """Prints the section, its goals first."""
    section = run(quick="--quick" in sys.argv[1:])
    sys.stdout.write(f"{goals_table([section])}\n\n{section.markdown()}\n")


if __name__ == "__main__":
    main()
