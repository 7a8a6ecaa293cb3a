"""What a statement costs as the tables grow: milliseconds, pages, and how many descents of an index those pages are."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.tables.descents import descents, index_pages
from bench.tables.plans import PLAN_CACHE_MODES, Execution, Scan, execute, scans_inside
from bench.tables.population import ASSETS_A_KEY, GROWING, Population
from bench.tables.statements import STATEMENTS, Scene, Statement

ROUNDS = 5
QUICK_ROUNDS = 2
TURNS = 40
# Enough for a session to have settled for the plans it will keep; again after each vacuum, which throws plans away.
WARM_UP = 20
# What reads every row of an owner is not asked so often.
TURNS_OF_A_LONG_ONE = 4

# Always the same work: what it shows is the machine.
_CONTROL = "explain (analyze, format json) select sum(n) from generate_series(1, 5000) n"
_LEVELS = """
select i.indexrelid::regclass::text, m.level + 1, pg_relation_size(i.indexrelid)
from pg_index i, lateral bench.bt_metap(i.indexrelid::regclass::text) m
where i.indrelid = any (%s::regclass[])
order by 1
"""

Session = psycopg.Connection[Any]


@dataclass(frozen=True)
class Cost:
    """Medians of many executions. `index_pages` are those of `pages` that belong to indexes."""

    milliseconds: float
    pages: int
    index_pages: int


@dataclass(frozen=True)
class IndexSize:
    """Levels from the root to the leaves, which is what one descent reads, and bytes."""

    levels: int
    size: int


@dataclass
class Growth:
    """All statements in one distribution, at each of its sizes; the plans, at the largest."""

    population: Population
    rounds: int = ROUNDS
    costs: dict[tuple[str, int], Cost] = field(default_factory=dict)
    control: dict[int, float] = field(default_factory=dict)
    indexes: dict[tuple[str, int], IndexSize] = field(default_factory=dict)
    descents: dict[str, int] = field(default_factory=dict)
    scans: dict[str, list[Scan]] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.population.sizes

    def measure(self, url: str) -> None:
        """Grows to each size in turn. A session of its own for each, long-lived as those of PostgREST."""
        self.population.begin()
        for size in self.sizes:
            self.population.grow(size)
            with psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor) as session:
                scene = Scene.of(session, self.population.distribution, size // ASSETS_A_KEY)
                self._read_indexes(session, size)
                self._measure_costs(session, scene, size)
                if size == self.sizes[-1]:
                    self._look_inside(session, scene)

    def slowdown(self, statement: Statement) -> float:
        """The largest size's time as a multiple of the smallest's."""
        return self._cost(statement, -1).milliseconds / self._cost(statement, 0).milliseconds

    def more_pages(self, statement: Statement) -> int:
        """Of indexes, from the smallest size to the largest."""
        return self._cost(statement, -1).index_pages - self._cost(statement, 0).index_pages

    def _cost(self, statement: Statement, place: int) -> Cost:
        return self.costs[statement.name, self.sizes[place]]

    def _measure_costs(self, session: Session, scene: Scene, size: int) -> None:
        samples: dict[str, list[Execution]] = {statement.name: [] for statement in STATEMENTS}
        control: list[float] = []
        for place in range(self.rounds):
            self.population.sweep()  # what was rolled back would be in the way of what follows
            for turn in range(WARM_UP):
                for _ in _executions(session, scene, turn):
                    pass
            for turn in range(TURNS):
                control.append(_control(session))
                for statement, execution in _executions(session, scene, WARM_UP + place * TURNS + turn):
                    samples[statement.name].append(execution)
        for statement in STATEMENTS:
            executions = samples[statement.name]
            self.costs[statement.name, size] = Cost(
                statistics.median(each.milliseconds for each in executions),
                round(statistics.median(each.pages for each in executions)),
                round(statistics.median(_index_pages(session, scene, statement))),
            )
        self.control[size] = statistics.median(control)

    def _look_inside(self, session: Session, scene: Scene) -> None:
        for statement in STATEMENTS:
            self.descents[statement.name] = descents(session, statement.sql, scene.arguments(statement, 0))
            self.scans[statement.name] = [
                scan for mode in PLAN_CACHE_MODES for scan in scans_inside(session, statement, scene, mode)
            ]

    def _read_indexes(self, session: Session, size: int) -> None:
        for name, levels, bytes_ in session.execute(_LEVELS, [list(GROWING)]):
            self.indexes[name, size] = IndexSize(levels, bytes_)


def _executions(session: Session, scene: Scene, turn: int) -> Iterator[tuple[Statement, Execution]]:
    for statement in STATEMENTS:
        if statement.grows and turn % TURNS >= TURNS_OF_A_LONG_ONE:
            continue
        arguments = scene.arguments(statement, turn)
        execution = execute(session, statement.sql, arguments)
        if statement.sql_for_pages:
            pages = execute(session, statement.sql_for_pages, arguments).pages
            execution = Execution(execution.milliseconds, pages)
        yield statement, execution


def _index_pages(session: Session, scene: Scene, statement: Statement) -> Iterator[int]:
    turns = TURNS_OF_A_LONG_ONE if statement.grows else WARM_UP
    for turn in range(turns):
        yield index_pages(session, statement.sql, scene.arguments(statement, turn))


def _control(session: Session) -> float:
    row = session.execute(_CONTROL).fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN has one
    return float(row[0][0]["Execution Time"])
