"""How often a query evaluates the policy function that identifies the caller."""

import json
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.report import Goal, Table
from bench.tables.plans import nodes
from bench.tables.statements import ASSUME, Scene, Statement

# Storage's look-up and listing of objects.
QUERIES = (
    "select * from storage.objects where bucket_id = 'assets' and name = %(ready_asset)s",
    "select * from storage.objects where bucket_id = 'assets' order by name limit 20",
)
A_READER = Statement("", "", "authenticated", "")
_CALLS = "select coalesce(pg_stat_get_xact_function_calls('assetdock_private.owner_with'::regproc), 0)"


@dataclass(frozen=True)
class Evaluation:
    """One query: its rows, how often it called assetdock_private.owner_with, and whether that call is an InitPlan."""

    query: str
    rows: int
    calls: int
    in_init_plan: bool
    scan: str


def evaluations(session: psycopg.Connection[Any], scene: Scene) -> list[Evaluation]:
    """Runs each query once, as the first owner."""
    return [_evaluation(session, scene, query) for query in QUERIES]


def _evaluation(session: psycopg.Connection[Any], scene: Scene, query: str) -> Evaluation:
    arguments = scene.arguments(A_READER, 0)
    with session.transaction(force_rollback=True):
        session.execute("set local track_functions = 'all'")
        before = _calls(session)
        session.execute(ASSUME, arguments)
        rows = len(session.execute(query.encode(), arguments).fetchall())
        session.execute("reset role")
        calls = _calls(session) - before  # counts of earlier transactions may not have been flushed yet
        session.execute(ASSUME, arguments)
        explained = session.execute(f"explain (verbose, format json) {query}".encode(), arguments).fetchone()
    assert explained is not None  # noqa: S101 - EXPLAIN has one
    plan = list(nodes(explained[0][0]["Plan"]))
    scan = next(node for node in plan if "Relation Name" in node or "Index Name" in node)
    return Evaluation(
        query,
        rows,
        calls,
        any(node.get("Parent Relationship") == "InitPlan" and "owner_with" in json.dumps(node) for node in plan),
        f"{scan['Node Type']} by {scan['Index Name']}" if "Index Name" in scan else scan["Node Type"],
    )


def _calls(session: psycopg.Connection[Any]) -> int:
    row = session.execute(_CALLS).fetchone()
    assert row is not None  # noqa: S101 - a function's answer
    return int(row[0])


def policies_table(found: list[Evaluation]) -> Table:
    """One line per query."""
    return Table(
        ["query", "rows", "calls of assetdock_private.owner_with", "as InitPlan", "scan"],
        [
            [f"`{each.query}`", f"{each.rows}", f"{each.calls}", "yes" if each.in_init_plan else "no", each.scan]
            for each in found
        ],
        "Run by a session at the largest size, once with all assets belonging to one owner and once with assets spread"
        " over many. `track_functions` counts the calls.",
    )


def policies_goal(found: list[Evaluation]) -> Goal:
    """Met when each query calls the policy function once."""
    return Goal(
        "policies are evaluated once per query",
        "1 call of assetdock_private.owner_with, in an InitPlan",
        ", ".join(f"{each.calls}" for each in found) + f" calls in {len(found)} queries",
        all(each.calls == 1 and each.in_init_plan for each in found),
    )
