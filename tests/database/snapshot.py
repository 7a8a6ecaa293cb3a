"""Everything that a database holds outside our schemas, for tests that nothing of a host project changes."""

import json
import re
from typing import Any

import psycopg

Database = psycopg.Connection[Any]
# Postgres changes statistics and transaction ids by itself.
STATISTICS = ["pg_statistic", "pg_statistic_ext_data"]
VOLATILE = ["relpages", "reltuples", "relallvisible", "relfrozenxid", "relminmxid", "relhastriggers",
            "datfrozenxid", "datminmxid"]  # fmt: skip
# The catalogues of objects that a migration could leave outside our schemas.
NAMED = ["pg_authid", "pg_class", "pg_default_acl", "pg_event_trigger", "pg_extension", "pg_namespace", "pg_policy",
         "pg_proc", "pg_publication", "pg_trigger", "pg_type"]  # fmt: skip
OURS = re.compile(r'"?assetdock')


def catalogue_rows(database: Database) -> set[str]:
    """Every row of Postgres's catalogues, without the grants to roles of ours. Object ids identify the rows."""
    catalogues = database.execute(
        "select relname from pg_class where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'"
        " and relname <> all (%s)",
        [STATISTICS],
    ).fetchall()
    found = set()
    for (catalogue,) in catalogues:
        for (row,) in database.execute(f"select to_jsonb(c) - %s::text[] from {catalogue} c", [VOLATILE]):
            for name, value in row.items():
                if name.endswith("acl") and value:
                    row[name] = [grant for grant in value if not OURS.match(grant)]
            found.add(f"{catalogue} {json.dumps(row, sort_keys=True)}")
    return found


def objects_of_the_host(database: Database) -> set[tuple[str, str | None, str]]:
    """Type, schema and identity of every object that does not carry our name and is not the Supabase CLI's."""
    found: set[tuple[str, str | None, str]] = set()
    for catalogue in NAMED:
        for kind, schema, identity in database.execute(
            f"select o.type, o.schema, o.identity from {catalogue} c, pg_identify_object(%s::regclass, c.oid, 0) o",
            [catalogue],
        ):
            # Triggers and policies have no schema: `name on table`. Postgres keeps large values in pg_toast.
            place = schema or identity.rpartition(" on ")[2]
            named = OURS.match(place) or (schema is None and OURS.match(identity))
            if not named and place not in ("pg_toast", "supabase_migrations"):
                found.add((kind, schema, identity))
    return found


def table_rows(database: Database) -> dict[str, list[str]]:
    """The rows of every table outside our schemas, as sorted JSON."""
    tables = database.execute(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname !~ '^(pg_|information_schema|assetdock|supabase_migrations)'"
    ).fetchall()
    return {
        table: sorted(row for (row,) in database.execute(f"select to_jsonb(t)::text from {table} t"))
        for (table,) in tables
    }
