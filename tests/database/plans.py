"""The plans of the statements that functions and triggers run, as Postgres executed them."""

import json
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors

Plan = dict[str, Any]
AUTO_EXPLAIN = {
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}


@dataclass(frozen=True)
class Scan:
    """One scan of `table` in the plan of `statement`. `index` and `index_condition` are None if the plan has none."""

    statement: str
    table: str
    index: str | None
    index_condition: str | None


def executed_scans(database: psycopg.Connection[Any], query: str, parameters: list[Any]) -> list[Scan]:
    """Runs a query as superuser and returns every scan, including those of nested statements and foreign keys."""
    explained: list[Plan] = []

    def collect(notice: errors.Diagnostic) -> None:
        _, is_plan, plan = (notice.message_primary or "").partition("plan:\n")
        if is_plan:
            explained.append(json.loads(plan))

    database.execute("load 'auto_explain'")
    database.add_notice_handler(collect)
    try:
        with database.transaction():
            for name, value in AUTO_EXPLAIN.items():
                database.execute("select set_config(%s, %s, true)", [name, value])
            database.execute(query, parameters)
            database.execute("set local auto_explain.log_min_duration = -1")
    finally:
        database.remove_notice_handler(collect)
    return [scan for each in explained for scan in _scans(each["Query Text"], each["Plan"])]


def _scans(statement: str, plan: Plan, table: str = "") -> list[Scan]:
    table = plan.get("Relation Name", table)
    found = [scan for child in plan.get("Plans", []) for scan in _scans(statement, child, table)]
    # A bitmap heap scan reads the rows that the bitmap index scans below it found. They hold the index condition.
    if plan["Node Type"].endswith("Scan") and table and plan["Node Type"] != "Bitmap Heap Scan":
        found.append(Scan(statement, table, plan.get("Index Name"), plan.get("Index Cond")))
    return found
