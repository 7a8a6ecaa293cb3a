"""Queries on Postgres's catalogue, for tests that must cover each new function, table, view, policy and trigger."""

from dataclasses import dataclass
from typing import Any

import psycopg

Database = psycopg.Connection[Any]
SCHEMAS = ["assetdock", "assetdock_app", "assetdock_private"]
API_ROLES = ["anon", "authenticated", "service_role", "assetdock_worker", "assetdock_gateway"]


@dataclass(frozen=True)
class Function:
    """`callers`: the API roles that can execute it. `parsed`: its body is SQL that was parsed at creation."""

    signature: str
    security_definer: bool
    pins_search_path: bool
    parsed: bool
    source: str
    comment: str | None
    owner: str
    callers: list[str]

    @property
    def name(self) -> str:
        return self.signature.split("(")[0]


def functions(database: Database) -> list[Function]:
    """Every function of our schemas."""
    rows = database.execute(
        """
        select p.oid::regprocedure::text, p.prosecdef, coalesce('search_path=""' = any (p.proconfig), false),
          p.prosqlbody is not null, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
          obj_description(p.oid, 'pg_proc'), pg_get_userbyid(p.proowner),
          array(select role from unnest(%s::text[]) role where has_function_privilege(role, p.oid, 'execute'))
        from pg_proc p where p.pronamespace = any(%s::regnamespace[]) order by 1
        """,
        [API_ROLES, SCHEMAS],
    ).fetchall()
    assert len(rows) > 30
    return [Function(*row) for row in rows]


def executable_functions(database: Database) -> dict[str, list[str]]:
    """The name of each function that an API role can execute, and those roles."""
    return {function.name: function.callers for function in functions(database) if function.callers}


def reachable_relations(database: Database) -> set[tuple[str, str, str]]:
    """The triples of schema, relation and API role in which the role has any privilege on the relation or a column."""
    rows = database.execute(
        """
        select n.nspname, c.relname, role
        from pg_class c join pg_namespace n on n.oid = c.relnamespace, unnest(%s::text[]) role
        where n.nspname = any(%s) and c.relkind in ('r', 'v', 'p', 'm', 'f')
          and (has_table_privilege(role, c.oid, 'select, insert, update, delete, truncate, references, trigger')
            or has_any_column_privilege(role, c.oid, 'select, insert, update, references'))
        """,
        [API_ROLES, SCHEMAS],
    ).fetchall()
    return set(rows)


def usable_schemas(database: Database) -> set[tuple[str, str]]:
    """The pairs of a schema and an API role that has USAGE or CREATE on it."""
    rows = database.execute(
        "select schema, role from unnest(%s::text[]) schema, unnest(%s::text[]) role"
        " where has_schema_privilege(role, schema, 'usage') or has_schema_privilege(role, schema, 'create')",
        [SCHEMAS, API_ROLES],
    ).fetchall()
    return {(schema, role) for schema, role in rows}


def arguments_of_functions(database: Database, role: str) -> dict[str, list[str]]:
    """The functions of schema assetdock that a role can execute, and the names of their arguments."""
    return dict(
        database.execute(
            "select proname, coalesce(proargnames, '{}') from pg_proc where pronamespace = 'assetdock'::regnamespace"
            " and has_function_privilege(%s, oid, 'execute')",
            [role],
        ).fetchall()
    )
