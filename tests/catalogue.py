"""What Postgres's own catalogue says about our rooms, for tests that must not forget a new function, table or view."""

from typing import Any

import psycopg

Database = psycopg.Connection[Any]
ROOMS = ["assetdock", "assetdock_app", "assetdock_private"]
API_ROLES = ["anon", "authenticated", "service_role", "assetdock_worker", "assetdock_gateway"]

FUNCTIONS = """
select p.oid::regprocedure::text as name, n.nspname as room, p.prosecdef, p.proconfig,
  p.prosqlbody is not null as parsed,
  obj_description(p.oid, 'pg_proc') as comment, pg_get_userbyid(p.proowner) as owner,
  array(select role from unnest(%s::text[]) role where has_function_privilege(role, p.oid, 'execute')) as callers
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = any(%s) order by 1
"""


def functions(database: Database) -> list[Any]:
    """A row of FUNCTIONS for each function."""
    return database.execute(FUNCTIONS, [API_ROLES, ROOMS]).fetchall()


def executable(database: Database) -> dict[str, list[str]]:
    """Each function that an API role may execute, without its arguments, and by which."""
    return {name.split("(")[0]: callers for name, *_, callers in functions(database) if callers}


def readable(database: Database) -> dict[tuple[str, str], list[str]]:
    """Each table and view that an API role may read as a whole, and by which. Fails if one may be written."""
    rows = database.execute(
        """
        select n.nspname, c.relname, role,
          has_table_privilege(role, c.oid, 'select'),
          has_table_privilege(role, c.oid, 'insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(role, c.oid, 'insert, update, references')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace, unnest(%s::text[]) role
        where n.nspname = any(%s) and c.relkind in ('r', 'v', 'p')
        """,
        [API_ROLES, ROOMS],
    ).fetchall()
    found: dict[tuple[str, str], list[str]] = {}
    for room, relation, role, may_read, may_write in rows:
        assert not may_write, (room, relation, role)
        if may_read:
            found.setdefault((room, relation), []).append(role)
    return found


def entered(database: Database) -> set[tuple[str, str]]:
    """The rooms that an API role may look into, and the role."""
    rows = database.execute(
        "select room, role from unnest(%s::text[]) room, unnest(%s::text[]) role"
        " where has_schema_privilege(role, room, 'usage') or has_schema_privilege(role, room, 'create')",
        [ROOMS, API_ROLES],
    ).fetchall()
    return {(room, role) for room, role in rows}


def views(database: Database) -> dict[str, list[str]]:
    """The views of schema assetdock, and the columns of each that Postgres could write through it, were it granted."""
    rows = database.execute(
        "select c.relname, array_agg(a.attname::text order by a.attnum)"
        "   filter (where pg_column_is_updatable(c.oid, a.attnum, false))"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0"
        " where c.relnamespace = 'assetdock'::regnamespace and c.relkind = 'v' group by c.relname"
    ).fetchall()
    assert rows
    return dict(rows)


def exposed(database: Database, role: str) -> dict[str, list[str]]:
    """The functions of schema assetdock that a role may execute, and the names of their arguments."""
    return dict(
        database.execute(
            "select proname, coalesce(proargnames, '{}') from pg_proc where pronamespace = 'assetdock'::regnamespace"
            " and has_function_privilege(%s, oid, 'execute')",
            [role],
        ).fetchall()
    )
