"""Tables and goals of the growth measurement."""

from collections.abc import Sequence

from bench.report import Goal, Table
from bench.tables.growth import TURNS, Growth
from bench.tables.plans import PLAN_CACHE_MODES, ROWS_OF_A_PROBE, Scan
from bench.tables.population import ASSETS_A_KEY, OPEN, OWNERS, WATCHED, WATCHED_ASSETS
from bench.tables.statements import STATEMENTS, Statement

SLOWER_AT_MOST = 1.3
FUNCTIONS = tuple(dict.fromkeys(statement.function for statement in STATEMENTS))


def intro(rounds: int) -> str:
    """How the growth was measured, in Markdown."""
    return f"""\
One stack per size, side by side, each with its default settings (fsync on, 128 MiB of shared buffers). There are two
distributions: all assets belong to one owner, or they are spread over {OWNERS:,} owners. Each asset has its history
(two events for most), its object in Storage and a probe job (one in a hundred is unfinished); there is one API key per
{ASSETS_A_KEY} assets. The measured owners have the same number of assets at every size: {WATCHED} owners with
{WATCHED_ASSETS} assets each in the second distribution. {OPEN} uploads are open in both.

Each statement runs as its caller, with the role and claims that PostgREST or Storage sets, under
`EXPLAIN (ANALYZE, BUFFERS)`, and is rolled back: {rounds} rounds of {TURNS} turns, after enough runs for a session to
settle on its plans. Each turn shuffles the statements and, for each statement, the sizes, so that changes in the
machine's load affect all of them alike and the processor's caches hold no more than on a busy server. Time is planning
plus execution, without the commit. A page is 8 KiB, found in shared buffers or read into them. Both are medians. A
descent is one walk from an index's root to a leaf, to search or to insert. A vacuum before each round removes what was
rolled back, and autovacuum is off during the rounds. The *control* adds 5,000 numbers, the same work at every size: it
shows how steady the machine was."""


def costs_table(growth: Growth) -> Table:
    """The cost of each statement at each size."""
    sizes = growth.sizes
    rows = []
    for statement in STATEMENTS:
        costs = [growth.costs[statement.name, size] for size in sizes]
        rows.append(
            [
                statement.name,
                *(f"{cost.milliseconds:.3f}" for cost in costs),
                f"{growth.slowdown(statement):.2f}",
                *(f"{cost.pages:,}" for cost in costs),
                "" if statement.grows else f"{growth.more_pages(statement):+,} in {growth.descents[statement.name]}",
            ]
        )
    control = [growth.control[size] for size in sizes]
    rows.append(
        ["*control*", *(f"{ms:.3f}" for ms in control), f"{control[-1] / control[0]:.2f}", *("" for _ in sizes), ""]
    )
    return Table(
        [
            f"{growth.distribution}, assets:",
            *(f"{size:,}: ms" for size in sizes),
            "last / first",
            *(f"{size:,}: pages" for size in sizes),
            "more pages of indexes, in descents",
        ],
        rows,
        "`include_total` counts every matching asset of the owner, so its time is proportional to their number, as its"
        " description says; it has no goal. *Any key* looks up a different key at each call, out of all keys at that"
        " size: at the smallest size the same few keys return, at the largest each key is on pages that no call has"
        " touched since the last vacuum.",
    )


def indexes_table(growths: Sequence[Growth]) -> Table:
    """Levels and size of every index."""
    growth = growths[-1]
    names = sorted({name for name, _ in growth.indexes})
    return Table(
        ["index", *(f"{each.distribution}: levels" for each in growths), "MiB"],
        [[f"`{name}`", *(_levels(each, name) for each in growths), f"{_size(growth, name):.1f}"] for name in names],
        f"Levels at {', '.join(f'{size:,}' for size in growth.sizes)} assets: the pages that one descent reads. "
        f"The size is that at {growth.sizes[-1]:,}, {growth.distribution}.",
    )


def plans_table(growths: Sequence[Growth]) -> Table:
    """How each statement accessed tables that grow, at the largest size."""
    rows = []
    for statement in STATEMENTS:
        scans = _scans(growths, statement)
        most = {scan.access: max(other.rows for other in scans if other.access == scan.access) for scan in scans}
        rows.append([statement.name, "; ".join(f"{access} ({count:,.0f})" for access, count in sorted(most.items()))])
    return Table(
        ["statement", "scans of tables that grow (most rows read by one)"],
        rows,
        "By `auto_explain` with `log_nested_statements`, from inside the functions and triggers, in both distributions"
        f" at the largest size, with `plan_cache_mode` {', '.join(PLAN_CACHE_MODES)}: every plan a session may keep.",
    )


def goals(growths: Sequence[Growth]) -> list[Goal]:
    """The goals for time and pages of each function, and the goal for all plans."""
    return [*(goal for function in FUNCTIONS for goal in _growth_goals(growths, function)), _plans_goal(growths)]


def _growth_goals(growths: Sequence[Growth], function: str) -> list[Goal]:
    ways = [each for each in STATEMENTS if each.function == function and not each.grows]
    sizes = f"{growths[0].sizes[0]:,} to {growths[0].sizes[-1]:,} assets"
    slowest = {growth.distribution: max(ways, key=growth.slowdown) for growth in growths}
    times, pages, met_time, met_pages = [], [], True, True
    for growth in growths:
        where = growth.distribution
        slowdown = growth.slowdown(slowest[where])
        times.append(f"{where} {slowdown:.2f}{_way(slowest[where], ways)}")
        met_time = met_time and slowdown <= SLOWER_AT_MOST
        most = max(ways, key=lambda way: growth.more_pages(way) - growth.descents[way.name])
        pages.append(f"{where} {growth.more_pages(most):+,} in {growth.descents[most.name]} descents{_way(most, ways)}")
        met_pages = met_pages and all(growth.more_pages(way) <= growth.descents[way.name] for way in ways)
    return [
        Goal(f"{function}: time, {sizes}", f"≤ {SLOWER_AT_MOST} times", "; ".join(times), met_time),
        Goal(f"{function}: pages of indexes, {sizes}", "≤ 1 more for each descent", "; ".join(pages), met_pages),
    ]


def _plans_goal(growths: Sequence[Growth]) -> Goal:
    judged = [(way, scan) for way in STATEMENTS if not way.grows for scan in _scans(growths, way)]
    failed = [f"{way.name}: {scan.text()}" for way, scan in judged if not scan.is_probe]
    return Goal(
        "every plan is an index probe",
        f"an index condition and ≤ {ROWS_OF_A_PROBE} rows read, in every scan of a table that grows",
        f"{len(judged) - len(failed)} of {len(judged)} scans"
        + "".join(f"; not {each}" for each in dict.fromkeys(failed)),
        not failed,
    )


def _scans(growths: Sequence[Growth], statement: Statement) -> list[Scan]:
    return [scan for growth in growths for scan in growth.scans[statement.name]]


def _way(statement: Statement, ways: Sequence[Statement]) -> str:
    return f" ({statement.way})" if len(ways) > 1 else ""


def _levels(growth: Growth, name: str) -> str:
    found = [growth.indexes.get((name, size)) for size in growth.sizes]
    return ", ".join(f"{index.levels if index else 1}" for index in found)


def _size(growth: Growth, name: str) -> float:
    return growth.indexes[name, growth.sizes[-1]].size / 2**20
