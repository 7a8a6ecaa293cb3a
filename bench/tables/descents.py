"""Counts how often a statement descends an index, to search or to insert, and how many index pages it reads."""

from collections.abc import Mapping
from typing import Any

import psycopg

from bench.tables.statements import ASSUME

_INDEXES = """
select i.indexrelid, i.indrelid::regclass::text, pg_get_expr(i.indpred, i.indrelid)
from pg_index i
join pg_class c on c.oid = i.indrelid and c.relkind = 'r'
where c.relnamespace = any ('{assetdock_app,assetdock_private,storage,auth}'::regnamespace[])
"""
_PAGES = """
select coalesce(sum(pg_stat_get_xact_blocks_fetched(i.indexrelid)), 0)::bigint
from pg_index i
join pg_class c on c.oid = i.indrelid and c.relkind = 'r'
where c.relnamespace = any ('{assetdock_app,assetdock_private,storage,auth}'::regnamespace[])
"""
_SCANS = "select sum(pg_stat_get_xact_numscans(index))::bigint from unnest(%s::oid[]) index"
# Inserted rows, and updated rows that are not heap-only tuples: each gets a new entry in every index.
_ENTERED = """
select name, pg_stat_get_xact_tuples_inserted(name::regclass) + pg_stat_get_xact_tuples_updated(name::regclass)
  - pg_stat_get_xact_tuples_hot_updated(name::regclass)
from unnest(%s::text[]) name
"""

Session = psycopg.Connection[Any]


def descents(session: Session, sql: str, arguments: Mapping[str, Any]) -> int:
    """The number of index descents of one execution, which is rolled back."""
    indexes = session.execute(_INDEXES).fetchall()
    tables = sorted({table for _, table, _ in indexes})
    with session.transaction(force_rollback=True):
        # Counts of earlier transactions may not have been flushed yet, so only the difference belongs to this one.
        scans, entered = _counts(session, indexes, tables)
        session.execute(ASSUME, arguments)
        session.execute(sql.encode(), arguments)
        session.execute("reset role")
        more_scans, entered_since = _counts(session, indexes, tables)
        new = {table: entered_since[table] - entered[table] for table in tables}
        entries = sum(_entries(session, table, predicate, new[table]) for _, table, predicate in indexes if new[table])
    return more_scans - scans + entries


def index_pages(session: Session, sql: str, arguments: Mapping[str, Any]) -> int:
    """The number of index pages that one execution requests; it is rolled back."""
    with session.transaction(force_rollback=True):
        before = _number(session, _PAGES)
        session.execute(ASSUME, arguments)
        session.execute(sql.encode(), arguments)
        session.execute("reset role")
        return _number(session, _PAGES) - before


def _counts(session: Session, indexes: list[tuple[Any, ...]], tables: list[str]) -> tuple[int, dict[str, int]]:
    scans = _number(session, _SCANS, [index for index, _, _ in indexes])
    return scans, dict(session.execute(_ENTERED, [tables]).fetchall())


def _entries(session: Session, table: str, predicate: str | None, new: int) -> int:
    """How many of the new rows the (partial) index holds. Subtransactions have higher ids than their transaction."""
    if predicate is None:
        return new
    taken = (
        f"select count(*) from {table}"  # noqa: S608 - names from the catalogue
        f" where xmin::text::bigint >= (pg_current_xact_id()::text::bigint & 4294967295) and ({predicate})"
    )
    return min(new, _number(session, taken))


def _number(session: Session, query: str, *arguments: object) -> int:
    row = session.execute(query.encode(), arguments or None).fetchone()
    assert row is not None  # noqa: S101 - a sum or a count has one
    return int(row[0])
