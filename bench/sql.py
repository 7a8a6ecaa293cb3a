"""The SQL part of the benchmark: the cost of statements as tables grow, their plans, and a bare INSERT to compare.

`python -m bench.sql [--quick]` runs only this part.
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
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory

SIZES = (10_000, 100_000, 1_000_000)
# Not smaller: the planner rightly reads tables of one or two pages sequentially, and pages of lists would not be full.
QUICK_SIZES = (5_000, 20_000, 50_000)


def run(quick: bool) -> Section:
    """Starts a stack with its default settings for each size, and stops them all. `quick` only shows that the benchmark
    works."""
    with ExitStack() as opened:
        directory = opened.enter_context(temporary_state_directory())
        stacks = {
            size: opened.enter_context(Stack(directory / str(size), Ports.free()))
            for size in (QUICK_SIZES if quick else SIZES)
        }
        return _measure(stacks, opened, directory, quick)


def _measure(stacks: Mapping[int, Stack], opened: ExitStack, directory: Path, quick: bool) -> Section:
    pgbench.find_pgbench()  # fail now rather than after ten minutes
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
    """A connection to the stack's database, which then holds the owners and the functions that fill the tables."""
    connection = opened.enter_context(
        psycopg.connect(stack.db_url, autocommit=True, cursor_factory=psycopg.ClientCursor)
    )
    create_owners(connection)
    connection.execute(LANDING_TOOL.encode())
    return connection


def main() -> None:
    """Prints the goals, then the section."""
    section = run(quick="--quick" in sys.argv[1:])
    sys.stdout.write(f"{goals_table([section])}\n\n{section.markdown()}\n")


if __name__ == "__main__":
    main()
