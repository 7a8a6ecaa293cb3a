"""The cost of each statement as the tables grow: milliseconds, pages, and index descents."""

import itertools
import random
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bench.tables.descents import descents, index_pages
from bench.tables.plans import PLAN_CACHE_MODES, Execution, Scan, execute, scans_inside
from bench.tables.population import ASSETS_A_KEY, GROWING, Distribution, Population
from bench.tables.statements import STATEMENTS, Scene, Statement

ROUNDS = 5
QUICK_ROUNDS = 2
TURNS = 40
# Enough executions for a session to settle on its cached plans; repeated after each vacuum, which invalidates plans.
WARM_UP = 20
# Statements that read every row of an owner run less often.
TURNS_OF_A_LONG_ONE = 4

# Constant work: its time shows how steady the machine is.
_CONTROL = "explain (analyze, format json) select sum(n) from generate_series(1, 5000) n"
_LEVELS = """
select i.indexrelid::regclass::text, m.level + 1, pg_relation_size(i.indexrelid)
from pg_index i, lateral bench.bt_metap(i.indexrelid::regclass::text) m
where i.indrelid = any (%s::regclass[])
order by 1
"""

Session = psycopg.Connection[Any]
# The database's URL, and the connection that fills it.
Database = tuple[str, Session]


@dataclass(frozen=True)
class Cost:
    """Medians of many executions. `index_pages` are the `pages` that belong to indexes."""

    milliseconds: float
    pages: int
    index_pages: int


@dataclass(frozen=True)
class IndexSize:
    """Levels from the root to the leaves (the pages that one descent reads), and size in bytes."""

    levels: int
    size: int


@dataclass(frozen=True)
class Place:
    """A filled database. `session` runs the statements; it is long-lived, as PostgREST's sessions are."""

    population: Population
    scene: Scene
    session: Session

    @classmethod
    def fill(cls, opened: ExitStack, url: str, population: Population) -> "Place":
        """Fills the database, then opens the session."""
        population.fill()
        session = opened.enter_context(psycopg.connect(url, autocommit=True, cursor_factory=psycopg.ClientCursor))
        return cls(population, Scene.of(session, population.distribution, population.assets // ASSETS_A_KEY), session)


@dataclass
class Growth:
    """All statements in one distribution, at every size; their plans at the largest size."""

    distribution: Distribution
    sizes: Sequence[int]
    rounds: int = ROUNDS
    costs: dict[tuple[str, int], Cost] = field(default_factory=dict)
    control: dict[int, float] = field(default_factory=dict)
    indexes: dict[tuple[str, int], IndexSize] = field(default_factory=dict)
    descents: dict[str, int] = field(default_factory=dict)
    scans: dict[str, list[Scan]] = field(default_factory=dict)

    def measure(self, databases: Mapping[int, Database]) -> None:
        """Fills the database of each size, then runs each statement on all of them in turn, so that changes in the
        machine's load affect every size alike."""
        with ExitStack() as opened:
            places = [
                Place.fill(opened, url, Population(connection, self.distribution, size, self.sizes))
                for size, (url, connection) in databases.items()
            ]
            for place in places:
                self._read_indexes(place)
            self._measure_costs(places)
            self._look_inside(places[-1])

    def slowdown(self, statement: Statement) -> float:
        """The time at the largest size divided by the time at the smallest."""
        return self._cost(statement, -1).milliseconds / self._cost(statement, 0).milliseconds

    def more_pages(self, statement: Statement) -> int:
        """How many more index pages the largest size needs than the smallest."""
        return self._cost(statement, -1).index_pages - self._cost(statement, 0).index_pages

    def _cost(self, statement: Statement, place: int) -> Cost:
        return self.costs[statement.name, self.sizes[place]]

    def _measure_costs(self, places: Sequence[Place]) -> None:
        samples: dict[tuple[str, int], list[Execution]] = defaultdict(list)
        control: dict[int, list[float]] = defaultdict(list)
        for number in range(self.rounds):
            for place in places:
                place.population.sweep()  # dead rows of rolled-back executions would slow down the next ones
            for turn in range(WARM_UP):
                for _ in _executions(places, turn):
                    pass
            for turn in range(TURNS):
                for place in places:
                    control[place.population.assets].append(_control(place.session))
                for name, size, execution in _executions(places, WARM_UP + number * TURNS + turn):
                    samples[name, size].append(execution)
        for place, statement in itertools.product(places, STATEMENTS):
            size = place.population.assets
            executions = samples[statement.name, size]
            self.costs[statement.name, size] = Cost(
                statistics.median(each.milliseconds for each in executions),
                round(statistics.median(each.pages for each in executions)),
                round(statistics.median(_index_pages(place, statement))),
            )
        self.control = {size: statistics.median(each) for size, each in control.items()}

    def _look_inside(self, place: Place) -> None:
        for statement in STATEMENTS:
            self.descents[statement.name] = descents(place.session, statement.sql, place.scene.arguments(statement, 0))
            self.scans[statement.name] = [
                scan for mode in PLAN_CACHE_MODES for scan in scans_inside(place.session, statement, place.scene, mode)
            ]

    def _read_indexes(self, place: Place) -> None:
        for name, levels, bytes_ in place.session.execute(_LEVELS, [list(GROWING)]):
            self.indexes[name, place.population.assets] = IndexSize(levels, bytes_)


def _executions(places: Sequence[Place], turn: int) -> Iterator[tuple[str, int, Execution]]:
    """One execution of each statement at each size. Each turn shuffles the order: a fixed order makes some statements
    up to a fifth faster or slower, because of what ran just before."""
    order = random.Random(turn)
    for statement in order.sample(STATEMENTS, len(STATEMENTS)):
        if statement.grows and turn % TURNS >= TURNS_OF_A_LONG_ONE:
            continue
        for place in order.sample(places, len(places)):
            arguments = place.scene.arguments(statement, turn)
            execution = execute(place.session, statement.sql, arguments)
            if statement.sql_for_pages:
                pages = execute(place.session, statement.sql_for_pages, arguments).pages
                execution = Execution(execution.milliseconds, pages)
            yield statement.name, place.population.assets, execution


def _index_pages(place: Place, statement: Statement) -> Iterator[int]:
    turns = TURNS_OF_A_LONG_ONE if statement.grows else WARM_UP
    for turn in range(turns):
        yield index_pages(place.session, statement.sql, place.scene.arguments(statement, turn))


def _control(session: Session) -> float:
    row = session.execute(_CONTROL).fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN has one
    return float(row[0][0]["Execution Time"])
