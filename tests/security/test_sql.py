"""Security definer functions do not depend on what their caller created or claims."""

import re
import time

import jwt
import psycopg
import pytest

from assetdock_server.config import service_settings
from assetdock_server.identity import api_key
from assetdock_server.identity.minting import LIFETIME, Minter
from devstack.stack import Stack
from tests import catalogue
from tests.callers import Caller
from tests.catalogue import SCHEMAS, Database


def as_session(connection: Database, owner_id: str) -> None:
    connection.execute("select set_config('request.jwt.claims', %s, true)",
                       [f'{{"role": "authenticated", "sub": "{owner_id}"}}'])  # fmt: skip
    connection.execute("set local role authenticated")


def test_only_one_procedure_for_migrations_runs_dynamic_sql_and_no_caller_reaches_it(database: Database) -> None:
    """revoke_default_grants builds its statements from catalogue names only."""
    name = "assetdock_private.revoke_default_grants"
    functions = catalogue.functions(database)

    assert [each.name for each in functions if re.search(r"\bexecute\b", each.source, re.IGNORECASE)] == [name]
    assert [each.callers for each in functions if each.name == name] == [[]]
    assert [each.name for each in functions if "revoke_default_grants" in each.source] == []


def test_functions_ignore_temporary_objects_of_their_caller(owner: Caller, stack: Stack) -> None:
    """The caller creates temporary tables, functions and operators with the names of those that our functions use."""
    with psycopg.connect(stack.db_url) as connection:
        connection.execute("grant temporary on database postgres to authenticated")
        as_session(connection, owner.owner_id)
        connection.execute("create temporary table assets (id uuid, owner_id uuid)")
        connection.execute("create temporary table api_keys as select 1 as id")
        connection.execute(
            "create function pg_temp.now() returns timestamptz language sql as 'select timestamptz ''2000-01-01'''"
        )
        connection.execute(
            "create function pg_temp.require(text) returns int language plpgsql"
            " as 'begin raise exception ''picked up''; end'"
        )
        connection.execute("create function pg_temp.eq(uuid, uuid) returns bool language sql as 'select true'")
        connection.execute("create operator pg_temp.= (leftarg = uuid, rightarg = uuid, function = pg_temp.eq)")
        connection.execute("set local search_path = pg_temp, pg_catalog, public")
        row = connection.execute("select assetdock.create_upload('audio')").fetchone()
        listed = connection.execute("select assetdock.list_assets()").fetchone()
        connection.rollback()
    assert row is not None
    assert listed is not None
    assert row[0]["asset"]["created_at"] > "2026"
    assert [item["id"] for item in listed[0]["items"]] == [row[0]["asset"]["id"]]


def test_no_function_shows_a_row_of_another_owner_for_any_claims(owner: Caller, stranger: Caller, stack: Stack) -> None:
    owner.reserve()
    owner.create_deleted_asset()
    owner.mint_key()
    owner.create_endpoint("https://hooks.invalid/")
    hostile = [
        "", "{}", "null", '{"sub": null}', f'{{"sub": "{owner.owner_id}"}}',
        f'{{"role": "anon", "sub": "{owner.owner_id}"}}',
        f'{{"role": "authenticated", "sub": "{stranger.owner_id}"}}',
        f'{{"role": "authenticated", "sub": "{owner.owner_id} "}}',
        f'{{"role": "authenticated", "sub": ["{owner.owner_id}"]}}',
        f'{{"role": "authenticated", "sub": "{owner.owner_id}", "api_key_id": null}}',
    ]  # fmt: skip
    with psycopg.connect(stack.db_url) as connection:
        for claims in hostile:
            for function in ("list_assets", "list_api_keys", "list_webhook_endpoints"):
                connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
                connection.execute("set local role authenticated")
                try:
                    row = connection.execute(f"select assetdock.{function}()").fetchone()
                    outcome = row and row[0]["items"]
                except psycopg.Error as error:
                    outcome = error.sqlstate
                connection.rollback()
                assert outcome in ([], "PGRST"), (claims, function)


def test_security_definer_functions_belong_to_postgres_which_is_no_superuser(database: Database) -> None:
    owners = database.execute(
        "select distinct r.rolname, r.rolsuper from pg_proc p join pg_roles r on r.oid = p.proowner"
        " where pronamespace = any(%s::regnamespace[]) and prosecdef",
        [SCHEMAS],
    ).fetchall()

    assert owners == [("postgres", False)]


@pytest.mark.parametrize("kind", ["api key", "gateway"])
def test_minted_tokens_live_five_minutes_and_have_only_the_necessary_claims(
    service_environment: dict[str, str], kind: str
) -> None:
    minter = Minter(service_settings(service_environment).signing_key)
    token = minter.for_gateway() if kind == "gateway" else minter.for_api_key("key", "owner")

    claims = jwt.decode(token, options={"verify_signature": False})
    assert LIFETIME <= 300
    assert abs(claims["exp"] - LIFETIME - time.time()) < 10
    extra = {"sub", "api_key_id"} if kind == "api key" else set()
    assert set(claims) == {"iss", "aud", "exp", "role"} | extra
    assert claims["role"] == ("authenticated" if kind == "api key" else "assetdock_gateway")


def test_api_keys_have_190_random_bits_and_do_not_repeat() -> None:
    keys = {api_key.make().plaintext for _ in range(2000)}
    used = {character for key in keys for character in key[16:48]}

    assert len(keys) == 2000
    assert len({key[:16] for key in keys}) == 2000
    assert used == set(api_key.ALPHABET)
