"""EXPLAIN (ANALYZE, BUFFERS) of a statement, and auto_explain of the statements inside the functions it calls."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors

from bench.tables.population import GROWING
from bench.tables.statements import ASSUME, Scene, Statement

# No index probe here needs more rows: a page of a list, a minute's reservations, one owner's open uploads.
ROWS_OF_A_PROBE = 500
PLAN_CACHE_MODES = ("auto", "force_custom_plan", "force_generic_plan")

_AUTO_EXPLAIN = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_verbose": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}

_ROWS_READ = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")

Plan = Mapping[str, Any]


@dataclass(frozen=True)
class Execution:
    """Milliseconds of planning and execution; pages of 8 KiB found in shared buffers or read into them."""

    milliseconds: float
    pages: int


@dataclass(frozen=True)
class Scan:
    """One scan of a table, over all its loops. `condition` is the index condition, "" when there is none."""

    table: str
    node: str
    index: str
    condition: str
    rows: float

    @property
    def is_probe(self) -> bool:
        return bool(self.condition) and self.rows <= ROWS_OF_A_PROBE

    @property
    def access(self) -> str:
        """The kind of scan, its table and its index."""
        return f"{self.node} on {self.table}" + (f" by {self.index}" if self.index else "")

    def text(self) -> str:
        """One line about the scan, for a report."""
        return f"{self.access}, {self.rows:,.0f} rows" + ("" if self.condition else ", no index condition")


def execute(connection: psycopg.Connection[Any], sql: str, arguments: Mapping[str, Any]) -> Execution:
    """Runs the statement as the caller in `arguments`, and rolls it back."""
    with connection.transaction(force_rollback=True):
        connection.execute(ASSUME, arguments)
        row = connection.execute(f"explain (analyze, buffers, format json) {sql}".encode(), arguments).fetchone()
    assert row is not None  # noqa: S101 - EXPLAIN has one
    explained = row[0][0]
    root = explained["Plan"]
    return Execution(
        explained["Planning Time"] + explained["Execution Time"], root["Shared Hit Blocks"] + root["Shared Read Blocks"]
    )


def scans_inside(
    connection: psycopg.Connection[Any], statement: Statement, scene: Scene, mode: str = "auto"
) -> list[Scan]:
    """Every scan of a table that grows, by the statement itself and by its functions and triggers."""
    plans: list[Plan] = []

    def collect(notice: errors.Diagnostic) -> None:
        _, is_plan, text = (notice.message_primary or "").partition("plan:\n")
        if is_plan:
            plans.append(json.loads(text)["Plan"])

    connection.execute("load 'auto_explain'")
    connection.add_notice_handler(collect)
    try:
        with connection.transaction(force_rollback=True):
            for name, value in {**_AUTO_EXPLAIN, "plan_cache_mode": mode}.items():
                connection.execute("select set_config(%s, %s, true)", [name, value])
            arguments = scene.arguments(statement, 0)
            connection.execute(ASSUME, arguments)
            plans.clear()
            connection.execute(statement.sql.encode(), arguments)
    finally:
        connection.remove_notice_handler(collect)
    return [scan for plan in plans for scan in _scans(plan)]


def nodes(plan: Plan) -> Iterator[Plan]:
    """The nodes of a plan, the root first."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def _scans(plan: Plan) -> Iterator[Scan]:
    for node in nodes(plan):
        table = f"{node.get('Schema')}.{node.get('Relation Name')}"
        if table not in GROWING or node["Node Type"] == "ModifyTable":
            continue
        # The index scan of a bitmap heap scan is a child node.
        asked: Sequence[Plan] = [node, *node.get("Plans", ())] if node["Node Type"] == "Bitmap Heap Scan" else [node]
        read = (
            node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        )
        yield Scan(
            table,
            node["Node Type"],
            next((each["Index Name"] for each in asked if "Index Name" in each), ""),
            next((each["Index Cond"] for each in asked if "Index Cond" in each), ""),
            read * node["Actual Loops"],
        )
