"""The empty database: roles, schemas and grants of hosted Supabase, and the DDL guard of `storage` and `auth`."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from devstack.stack import Stack

Connection = psycopg.Connection


@pytest.fixture
def migrator(stack: Stack) -> Iterator[Connection]:
    """The role `postgres`, in a transaction that is rolled back."""
    with psycopg.connect(stack.postgres_db_url) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def superuser(stack: Stack) -> Iterator[Connection]:
    with psycopg.connect(stack.db_url) as connection:
        yield connection
        connection.rollback()


TRIGGER_FUNCTION = "create function public.pass() returns trigger language plpgsql as 'begin return new; end'"


def test_postgres_can_create_roles_and_bypass_rls_but_is_not_a_superuser(migrator: Connection) -> None:
    row = migrator.execute(
        "select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls "
        "from pg_roles where rolname = 'postgres'"
    ).fetchone()

    assert row == (False, True, True, True, True)


@pytest.mark.parametrize(
    "statement",
    [
        "alter table storage.objects add column x int",
        "alter table storage.objects disable row level security",
        "alter table storage.objects disable trigger protect_objects_delete",
        "alter table storage.buckets owner to postgres",
        "alter table auth.users add column x int",
        "alter schema storage rename to storage2",
        "alter schema auth owner to postgres",
        "create index on storage.objects (metadata)",
        "create table storage.mine (id int)",
        "create function auth.mine() returns int language sql as 'select 1'",
        "create or replace function auth.uid() returns uuid language sql as 'select null::uuid'",
        "create rule r as on insert to storage.objects do nothing",
        "create view storage.v as select 1",
        "comment on table storage.objects is 'mine'",
        "comment on policy p on storage.objects is 'mine'",
        "comment on trigger t on storage.objects is 'mine'",
        "comment on function auth.uid() is 'mine'",
        "comment on schema auth is 'mine'",
        "alter trigger t on storage.objects rename to u",
        "drop table storage.objects cascade",
        "drop function auth.uid() cascade",
        "drop schema storage cascade",
        "drop index storage.name_prefix_search",
        "alter table storage.objects drop column metadata",
    ],
)
def test_postgres_cannot_change_the_schemas_storage_and_auth(migrator: Connection, statement: str) -> None:
    migrator.execute("create policy p on storage.objects for select to authenticated using (true)")
    migrator.execute(TRIGGER_FUNCTION.encode())
    migrator.execute("create trigger t before insert on storage.objects for each row execute function pass()")

    with pytest.raises((errors.InsufficientPrivilege, errors.DependentObjectsStillExist)):
        migrator.execute(statement.encode())


@pytest.mark.parametrize("table", ["storage.objects", "storage.buckets", "auth.users"])
def test_postgres_can_create_and_drop_policies_and_triggers_there(migrator: Connection, table: str) -> None:
    migrator.execute(TRIGGER_FUNCTION.encode())
    for statement in (
        f"create policy p on {table} for select to authenticated using (true)",
        f"alter policy p on {table} using (false)",
        f"drop policy p on {table}",
        f"create trigger t before insert on {table} for each row execute function pass()",
        f"drop trigger t on {table}",
        f"create trigger t after insert on {table} for each row execute function pass()",
        "drop function pass() cascade",
    ):
        migrator.execute(statement.encode())


def test_postgres_can_create_roles_that_storage_assumes(migrator: Connection) -> None:
    for statement in (
        "create role contract_worker nologin",
        "grant contract_worker to authenticator",
        "grant usage on schema storage to contract_worker",
        "grant select, delete on storage.objects to contract_worker",
        "create schema mine",
        "create table mine.t (owner uuid references auth.users (id))",
    ):
        migrator.execute(statement.encode())
    row = migrator.execute("select pg_has_role('supabase_storage_admin', 'contract_worker', 'set')").fetchone()
    assert row == (True,)


@pytest.mark.parametrize(
    "statement",
    [
        "set role supabase_storage_admin",
        "set role supabase_auth_admin",
        "create role mine superuser",
        "drop event trigger devstack_ddl_guard_drops",
        "drop function devstack_ddl_guard.reject_ddl() cascade",
    ],
)
def test_postgres_cannot_bypass_the_ddl_guard(migrator: Connection, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        migrator.execute(statement.encode())


@pytest.mark.parametrize("statement", [b"delete from storage.objects", b"delete from storage.buckets"])
def test_sql_cannot_delete_storage_rows(superuser: Connection, statement: bytes) -> None:
    with pytest.raises(errors.InsufficientPrivilege, match="Use the Storage API"):
        superuser.execute(statement)


def test_caller_is_read_from_old_and_new_settings(superuser: Connection) -> None:
    sub = "11111111-1111-4111-8111-111111111111"
    for settings in (
        {"request.jwt.claims": f'{{"sub": "{sub}", "role": "authenticated", "email": "a@b.c"}}'},
        {
            "request.jwt.claim.sub": sub,
            "request.jwt.claim.role": "authenticated",
            "request.jwt.claim.email": "a@b.c",
        },
    ):
        for name in ("request.jwt.claims", "request.jwt.claim.sub", "request.jwt.claim.role"):
            superuser.execute("select set_config(%s, '', true)", [name])  # as left on a pooled connection
        for name, value in settings.items():
            superuser.execute("select set_config(%s, %s, true)", [name, value])
        row = superuser.execute("select auth.uid()::text, auth.role(), auth.email()").fetchone()
        assert row == (sub, "authenticated", "a@b.c")


def test_path_functions_split_object_names(superuser: Connection) -> None:
    row = superuser.execute(
        "select storage.foldername('a/b/c.tar.gz'), storage.filename('a/b/c.tar.gz'), storage.extension('a/b/c.tar.gz')"
    ).fetchone()

    assert row == (["a", "b"], "c.tar.gz", "gz")


def test_api_roles_have_the_statement_timeouts_of_hosted(superuser: Connection) -> None:
    rows = superuser.execute(
        "select rolname, rolconfig from pg_roles where rolname in ('anon', 'authenticated', 'authenticator')"
    ).fetchall()
    settings: dict[str, list[str]] = dict(rows)

    assert "statement_timeout=3s" in settings["anon"]
    assert "statement_timeout=8s" in settings["authenticated"]
    assert "statement_timeout=8s" in settings["authenticator"]


@pytest.mark.parametrize(("stack_fixture", "granted"), [("stack", False), ("legacy_stack", True)])
def test_new_objects_in_public_are_granted_only_with_legacy_grants(
    request: pytest.FixtureRequest, stack_fixture: str, granted: bool
) -> None:
    stack: Stack = request.getfixturevalue(stack_fixture)
    with psycopg.connect(stack.postgres_db_url) as migrator:
        migrator.execute("create table public.fresh (id int)")
        migrator.execute("create function public.fresh() returns int language sql as 'select 1'")
        migrator.execute("revoke execute on function public.fresh() from public")
        row = migrator.execute(
            "select has_table_privilege('anon', 'public.fresh', 'insert'), "
            "has_function_privilege('anon', 'public.fresh()', 'execute')"
        ).fetchone()
        migrator.rollback()

    assert row == (granted, granted)
