"""A walk through Postgres's own catalogue: rules that hold for every object, so that a new one can't be forgotten."""

from typing import Any

import psycopg
import pytest

from assetdock_server.errors import CATALOGUE
from tests import catalogue
from tests.catalogue import API_ROLES, ROOMS

Database = psycopg.Connection[Any]
# Every function that any API role may execute, and who. Whatever is not here, nobody may.
EXECUTABLE = {
    "assetdock.confirm_upload": ["authenticated"],
    "assetdock.create_api_key": ["authenticated"],
    "assetdock.create_upload": ["authenticated"],
    "assetdock.create_webhook_endpoint": ["authenticated"],
    "assetdock.delete_asset": ["authenticated"],
    "assetdock.delete_webhook_endpoint": ["authenticated"],
    "assetdock.get_asset": ["authenticated"],
    "assetdock.get_webhook_endpoint": ["authenticated"],
    "assetdock.list_api_keys": ["authenticated"],
    "assetdock.list_asset_events": ["authenticated"],
    "assetdock.list_assets": ["authenticated"],
    "assetdock.list_webhook_deliveries": ["authenticated"],
    "assetdock.list_webhook_endpoints": ["authenticated"],
    "assetdock.renew_upload": ["authenticated"],
    "assetdock.replay_webhook_delivery": ["authenticated"],
    "assetdock.restore_asset": ["authenticated"],
    "assetdock.revoke_api_key": ["authenticated"],
    "assetdock.rotate_api_key": ["authenticated"],
    "assetdock.rotate_webhook_secret": ["authenticated"],
    "assetdock.test_webhook_endpoint": ["authenticated"],
    "assetdock.begin_delivery": ["assetdock_worker"],
    "assetdock.begin_purge": ["assetdock_worker"],
    "assetdock.complete_probe": ["assetdock_worker"],
    "assetdock.complete_purge": ["assetdock_worker"],
    "assetdock.extend_lease": ["assetdock_worker"],
    "assetdock.find_discrepancies": ["assetdock_worker"],
    "assetdock.run_maintenance": ["assetdock_worker"],
    "assetdock.lease_jobs": ["assetdock_worker"],
    "assetdock.purge_owner_batch": ["assetdock_worker"],
    "assetdock.record_delivery": ["assetdock_worker"],
    "assetdock.reject_probe": ["assetdock_worker"],
    "assetdock.queue_stats": ["assetdock_worker", "assetdock_gateway"],
    "assetdock.release_job": ["assetdock_worker"],
    "assetdock.repair_discrepancy": ["assetdock_worker"],
    "assetdock.retry_job": ["assetdock_worker"],
    "assetdock.ping": ["assetdock_gateway"],
    "assetdock.resolve_api_key": ["assetdock_gateway"],
    "assetdock.settled_assets": ["assetdock_gateway"],
    "assetdock_private.is_ready": ["authenticated"],
    "assetdock_private.may_purge": ["assetdock_worker"],
    "assetdock_private.may_sign_upload": ["authenticated"],
    "assetdock_private.owner_with": ["authenticated"],
    "assetdock_private.uuid7_instant": ["authenticated"],
}
READABLE = {
    ("assetdock", "api_keys"): ["authenticated"],
    ("assetdock", "asset_events"): ["authenticated"],
    ("assetdock", "assets"): ["authenticated"],
    ("assetdock", "webhook_endpoints"): ["authenticated"],
}


@pytest.fixture
def functions(database: Database) -> list[Any]:
    found = catalogue.functions(database)
    assert len(found) > 30
    return found


def test_every_function_pins_its_search_path_or_was_parsed_when_it_was_made(functions: list[Any]) -> None:
    for name, _, _, config, parsed, *_ in functions:
        assert parsed or 'search_path=""' in (config or []), name


def test_every_security_definer_function_pins_its_search_path(functions: list[Any]) -> None:
    for name, _, definer, config, *_ in functions:
        assert not definer or 'search_path=""' in (config or []), name


def test_every_function_table_and_view_has_a_comment_and_belongs_to_postgres(
    functions: list[Any], database: Database
) -> None:
    for name, _, _, _, _, comment, owner, _ in functions:
        assert comment, f"{name} has no comment"
        assert owner == "postgres", name
    relations = database.execute(
        "select c.oid::regclass::text, obj_description(c.oid, 'pg_class'), pg_get_userbyid(c.relowner)"
        " from pg_class c where c.relnamespace = any(%s::regnamespace[]) and c.relkind in ('r', 'v', 'p')",
        [ROOMS],
    ).fetchall()
    assert len(relations) > 8
    for name, comment, owner in relations:
        assert comment, f"{name} has no comment"
        assert owner == "postgres", name


def test_each_role_can_execute_exactly_the_functions_it_needs(database: Database) -> None:
    assert catalogue.executable(database) == EXECUTABLE


def test_row_level_security_is_on_for_every_table(database: Database) -> None:
    off = database.execute(
        "select oid::regclass::text from pg_class where relnamespace = any(%s::regnamespace[])"
        " and relkind in ('r', 'p') and not relrowsecurity",
        [ROOMS],
    ).fetchall()

    assert off == []


def test_no_role_can_write_anything_and_reads_only_the_views(database: Database) -> None:
    assert catalogue.readable(database) == READABLE


def test_only_the_room_of_functions_can_be_entered(database: Database) -> None:
    assert catalogue.entered(database) == {("assetdock", role) for role in API_ROLES if role != "service_role"}


def test_every_view_runs_as_its_caller(database: Database) -> None:
    views = database.execute(
        "select relname, coalesce(reloptions, '{}') from pg_class"
        " where relnamespace = 'assetdock'::regnamespace and relkind = 'v'"
    ).fetchall()

    assert views
    for name, options in views:
        assert "security_invoker=true" in options, name


def test_functions_refuse_only_through_the_catalogue_of_errors(database: Database) -> None:
    """42501 is for the triggers on storage.objects, which speak to Storage and not to PostgREST."""
    raising = database.execute(
        "select oid::regproc::text from pg_proc where pronamespace = any(%s::regnamespace[])"
        r" and prosrc ~* '\mraise\M\s+(exception|sqlstate|using|'')'",
        [ROOMS],
    ).fetchall()

    assert {name for (name,) in raising} == {
        "assetdock_private.fail",
        "assetdock_private.guard_object_insert",
        "assetdock_private.guard_object_update",
        "assetdock_private.land_object",
        "assetdock_private.refuse_object",
    }


def test_the_codes_of_the_database_are_those_of_the_service(database: Database) -> None:
    rows = database.execute("select code, status, message from assetdock_private.errors").fetchall()

    assert rows
    for code, status, message in rows:
        assert CATALOGUE[code].status == status, code
        assert message.endswith(("%s", ".", 'fields".')), code


def test_every_code_that_sql_raises_is_in_its_table(database: Database) -> None:
    raised = database.execute(
        "select distinct m[1] from pg_proc, regexp_matches(prosrc, 'private\\.fail\\(''([a-z_]+)''', 'g') m"
        " where pronamespace = any(%s::regnamespace[])",
        [ROOMS],
    ).fetchall()
    known = database.execute("select code from assetdock_private.errors").fetchall()

    assert set(raised) == set(known)


def test_no_update_or_delete_without_where_is_in_any_function(database: Database) -> None:
    """Hosted Supabase loads safeupdate for API sessions, which refuses them."""
    sources = database.execute(
        "select oid::regproc::text, prosrc from pg_proc where pronamespace = any(%s::regnamespace[])", [ROOMS]
    ).fetchall()
    for name, source in sources:
        for statement in source.lower().split(";"):
            words = statement.split()
            if ("update" in words and "set" in words) or words[:2] == ["delete", "from"]:
                assert "where" in words or "for" in words, f"{name}: {statement}"
