"""Compares the documented error codes of each route with those that its SQL functions and handler can raise."""

import inspect
import re
from typing import Any

import psycopg
import pytest

from assetdock_server.errors import CATALOGUE
from assetdock_server.routes.entry import BODY_ERRORS, CREDENTIAL_ERRORS, GENERAL_ERRORS, IDEMPOTENCY_ERRORS, Entry
from assetdock_server.routes.table import TABLE

# Codes that the Storage gateway raises, by method; and the helpers through which handlers call these methods.
BY_STORAGE: dict[str, set[str]] = {"sign_upload": {"conflict", "not_found"}, "sign_download": set()}
HELPERS = {"_with_target": "sign_upload", "with_download": "sign_download"}


def sql_codes(database: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Returns the codes that each of our functions can raise, directly or through the functions it calls."""
    rows = database.execute(
        "select p.pronamespace::regnamespace || '.' || p.proname, pg_get_functiondef(p.oid) from pg_proc p "
        "where p.pronamespace::regnamespace::text in ('assetdock', 'assetdock_private') and p.prokind = 'f'"
    ).fetchall()
    source = {name: text.partition("$function$")[2] or text for name, text in rows}
    codes = {name: set(re.findall(r"private\.fail\('(\w+)'", text)) for name, text in source.items()}
    calls = {
        name: {called for called in re.findall(r"((?:assetdock|assetdock_private)\.\w+)\(", text) if called in source}
        for name, text in source.items()
    }
    changed = True
    while changed:
        changed = False
        for name in source:
            inherited = set().union(codes[name], *(codes[called] for called in calls[name]))
            changed = changed or inherited != codes[name]
            codes[name] = inherited
    return codes


def functions_called(entry: Entry) -> set[str]:
    return {f"assetdock.{name}" for name in re.findall(r"\.database\s*\.(\w+)\(", inspect.getsource(entry.handler))}


def raised_by_storage(entry: Entry) -> set[str]:
    source = inspect.getsource(entry.handler)
    return {code for helper, call in HELPERS.items() if f"{helper}(" in source for code in BY_STORAGE[call]}


@pytest.mark.parametrize("entry", [each for each in TABLE if each.access != "public"], ids=lambda e: e.operation.id)
def test_route_documents_exactly_the_codes_it_can_raise(entry: Entry, database: psycopg.Connection[Any]) -> None:
    codes = sql_codes(database)
    called = functions_called(entry)
    assert called

    by_sql = set().union(*(codes[name] for name in called))
    by_form = entry.errors - set(entry.operation.errors)

    assert by_sql - entry.errors == set()
    assert set(entry.operation.errors) - by_sql - raised_by_storage(entry) - by_form == set()
    assert raised_by_storage(entry) <= entry.errors


def test_codes_of_sql_are_in_the_catalogue_with_the_same_status(database: psycopg.Connection[Any]) -> None:
    known = dict(database.execute("select code, status from assetdock_private.errors").fetchall())

    assert {code: CATALOGUE[code].status for code in known} == known
    raised = set().union(*sql_codes(database).values())
    assert raised <= set(known)


def test_codes_that_follow_from_the_form_of_a_route_are_in_the_catalogue() -> None:
    assert {*GENERAL_ERRORS, *CREDENTIAL_ERRORS, *BODY_ERRORS, *IDEMPOTENCY_ERRORS} <= set(CATALOGUE)
