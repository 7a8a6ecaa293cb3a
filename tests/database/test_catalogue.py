"""Rules that hold for every object of ours in Postgres's catalogue, so that a new object cannot miss one."""

import pytest

from assetdock_server.errors import CATALOGUE
from tests import catalogue
from tests.catalogue import API_ROLES, SCHEMAS, Database, Function
from tests.database.grants import EXECUTABLE_FUNCTIONS
from tests.database.sql_source import does_before, unbounded_writes


@pytest.fixture
def functions(database: Database) -> list[Function]:
    return catalogue.functions(database)


def test_every_function_pins_its_search_path_or_has_a_parsed_body(functions: list[Function]) -> None:
    for function in functions:
        assert function.parsed or function.pins_search_path, function.signature


def test_every_security_definer_function_pins_its_search_path(functions: list[Function]) -> None:
    for function in functions:
        assert not function.security_definer or function.pins_search_path, function.signature


def test_every_function_table_and_view_has_a_comment_and_belongs_to_postgres(
    functions: list[Function], database: Database
) -> None:
    relations = database.execute(
        "select c.oid::regclass::text, obj_description(c.oid, 'pg_class'), pg_get_userbyid(c.relowner)"
        " from pg_class c where c.relnamespace = any(%s::regnamespace[]) and c.relkind in ('r', 'v', 'p')",
        [SCHEMAS],
    ).fetchall()

    assert len(relations) > 8
    for name, comment, owner in [*((each.signature, each.comment, each.owner) for each in functions), *relations]:
        assert comment, f"{name} has no comment"
        assert owner == "postgres", name


def test_each_role_can_execute_exactly_the_functions_it_needs(database: Database) -> None:
    assert catalogue.executable_functions(database) == EXECUTABLE_FUNCTIONS


def test_functions_for_callers_call_require_before_anything_else(functions: list[Function]) -> None:
    for_callers = [each for each in functions if "authenticated" in each.callers and each.name.startswith("assetdock.")]

    assert len(for_callers) >= 20
    for function in for_callers:
        assert does_before(function.source, "assetdock_private.require") == [], function.signature


def test_every_table_has_row_level_security(database: Database) -> None:
    without = database.execute(
        "select oid::regclass::text from pg_class where relnamespace = any(%s::regnamespace[])"
        " and relkind in ('r', 'p') and not relrowsecurity",
        [SCHEMAS],
    ).fetchall()

    assert without == []


def test_api_roles_reach_no_table(database: Database) -> None:
    assert catalogue.reachable_relations(database) == set()


def test_the_exposed_schema_contains_functions_only(database: Database) -> None:
    """The planner's estimates for a relation would tell a caller about the rows of other owners."""
    relations = database.execute(
        "select relname from pg_class where relnamespace = 'assetdock'::regnamespace"
    ).fetchall()

    assert relations == []


def test_every_table_is_closed_by_a_restrictive_policy(database: Database) -> None:
    """No grant or policy that a project adds later opens a table. A new migration has to close its tables, too."""
    open_tables = database.execute(
        "select c.oid::regclass::text from pg_class c where c.relnamespace = any(%s::regnamespace[])"
        " and c.relkind in ('r', 'p') and not exists (select from pg_policy p where p.polrelid = c.oid"
        "   and not p.polpermissive and p.polcmd = '*' and p.polroles = '{0}'"
        "   and pg_get_expr(p.polqual, p.polrelid) = 'false')",
        [SCHEMAS],
    ).fetchall()

    assert open_tables == []


def test_api_roles_can_use_only_the_exposed_schema(database: Database) -> None:
    assert catalogue.usable_schemas(database) == {("assetdock", role) for role in API_ROLES if role != "service_role"}


def test_functions_raise_errors_only_through_fail(database: Database) -> None:
    """Triggers on storage.objects raise 42501 themselves: they speak to Storage and not to PostgREST."""
    raising = database.execute(
        "select oid::regproc::text from pg_proc where pronamespace = any(%s::regnamespace[])"
        r" and prosrc ~* '\mraise\M\s+(exception|sqlstate|using|'')'",
        [SCHEMAS],
    ).fetchall()

    assert {name for (name,) in raising} == {
        "assetdock_private.fail",
        "assetdock_private.guard_object_insert",
        "assetdock_private.guard_object_update",
        "assetdock_private.land_object",
        "assetdock_private.refuse_object",
    }


def test_the_error_codes_of_the_database_match_those_of_the_service(database: Database) -> None:
    rows = database.execute("select code, status, message from assetdock_private.errors").fetchall()

    assert rows
    for code, status, message in rows:
        assert CATALOGUE[code].status == status, code
        assert message.endswith(("%s", ".", 'fields".')), code


def test_functions_raise_exactly_the_codes_in_the_table_of_errors(database: Database) -> None:
    raised = database.execute(
        "select distinct m[1] from pg_proc, regexp_matches(prosrc, 'private\\.fail\\(''([a-z_]+)''', 'g') m"
        " where pronamespace = any(%s::regnamespace[])",
        [SCHEMAS],
    ).fetchall()
    known = database.execute("select code from assetdock_private.errors").fetchall()

    assert set(raised) == set(known)


def test_every_update_and_delete_in_a_function_has_a_where(functions: list[Function]) -> None:
    """Hosted Supabase loads safeupdate for API sessions, which rejects the others."""
    for function in functions:
        assert list(unbounded_writes(function.source)) == [], function.signature


def test_a_new_function_that_breaks_a_rule_is_found(database: Database) -> None:
    source = "begin delete from assetdock_private.jobs; perform assetdock_private.require('assets:read'); end"
    with database.transaction(force_rollback=True):
        database.execute(
            f"create function assetdock.careless() returns void language plpgsql as $${source}$$;"
            " grant execute on function assetdock.careless() to authenticated"
        )
        found = catalogue.functions(database)

    for rule in (
        test_every_update_and_delete_in_a_function_has_a_where,
        test_functions_for_callers_call_require_before_anything_else,
        test_every_function_pins_its_search_path_or_has_a_parsed_body,
    ):
        with pytest.raises(AssertionError, match="careless"):
            rule(found)
