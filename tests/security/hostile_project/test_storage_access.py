"""Storage's API in a project whose policies allow everything: the tests of test_storage_access.py, and more."""

from typing import Any

import httpx
import psycopg
import pytest

from devstack.stack import Stack
from tests.attacks import Record
from tests.callers import Caller
from tests.polling import until
from tests.security.test_storage_access import (  # noqa: F401 - the tests and their fixtures
    denied,
    mint,
    ready,
    storage,
    test_an_upload_token_is_rejected_after_the_asset_is_deleted,
    test_an_upload_token_writes_only_its_own_object_and_reads_none,
    test_no_other_credential_reads_lists_changes_or_deletes_an_asset,
    test_signing_an_upload_needs_assets_write_and_signing_a_download_needs_assets_read,
    test_the_owner_cannot_change_move_copy_or_delete_landed_bytes,
    test_the_workers_token_can_neither_upload_nor_delete_an_asset_that_is_not_being_purged,
)


def by_operator(caller: Caller, method: str, path: str, **options: Any) -> httpx.Response:
    """A request with the project's secret key, for which Storage acts as service_role."""
    headers = {"apikey": caller.project.secret_key, **options.pop("headers", {})}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **options)


def test_a_stranger_can_do_nothing_with_an_asset(
    owner: Caller,
    stranger: Caller,
    ready: str,  # noqa: F811 - the fixture
    attack: Record,
) -> None:
    listed = storage(stranger, "POST", "/object/list/assets", json={"prefix": "", "limit": 1000})
    signed = storage(stranger, "POST", f"/object/sign/assets/{ready}", json={"expiresIn": 60})
    read = storage(stranger, "GET", f"/object/authenticated/assets/{ready}")
    deleted = storage(stranger, "DELETE", "/object/assets", json={"prefixes": [ready]})

    succeeded = [
        name
        for name, done in {
            "list": listed.status_code == 200 and listed.json() != [],
            "sign": signed.status_code == 200,
            "read": read.status_code == 200,
            "delete": deleted.status_code == 200 and deleted.json() != [],
        }.items()
        if done
    ]
    attack(
        "5 broad policies of the project: what a stranger could do with an asset",
        before="list, sign, read, delete",
        now=", ".join(succeeded) or "nothing",
        bound="nothing",
    )
    assert succeeded == []
    assert httpx.get(owner.asset(ready)["download_url"]).status_code == 200


def test_nobody_makes_our_bucket_public(owner: Caller, stranger: Caller, ready: str) -> None:  # noqa: F811
    for caller in (owner, stranger):
        assert denied(storage(caller, "PUT", "/bucket/assets", json={"public": True}))

    assert storage(stranger, "GET", f"/object/public/assets/{ready}").status_code != 200


def test_not_even_the_secret_key_deletes_the_bytes_of_an_asset(owner: Caller, ready: str) -> None:  # noqa: F811
    refused = by_operator(owner, "DELETE", "/object/assets", json={"prefixes": [ready]})

    assert refused.status_code >= 400
    assert "DELETE /api/v1/assets/{id}" in refused.text
    assert httpx.get(owner.asset(ready)["download_url"]).status_code == 200


def test_the_worker_reaches_no_bucket_of_the_project(
    owner: Caller, worker_environment: dict[str, str], wav: bytes
) -> None:
    token = worker_environment["SUPABASE_WORKER_TOKEN"]
    headers = {"Content-Type": "audio/wav"}
    put = by_operator(owner, "POST", "/object/theirs/a.wav", content=wav, headers=headers)
    assert put.status_code == 200, put.text

    assert storage(owner, "POST", "/object/list/theirs", token, json={"prefix": "", "limit": 10}).json() == []
    assert storage(owner, "DELETE", "/object/theirs", token, json={"prefixes": ["a.wav"]}).json() == []
    assert denied(storage(owner, "POST", "/object/theirs/b.wav", token, content=wav, headers=headers))


def test_the_projects_own_bucket_works_as_its_policies_say(stranger: Caller, wav: bytes) -> None:
    headers = {"Content-Type": "audio/wav"}

    assert storage(stranger, "POST", "/object/theirs/c.wav", content=wav, headers=headers).status_code == 200
    assert storage(stranger, "PUT", "/object/theirs/c.wav", content=wav, headers=headers).status_code == 200
    assert storage(stranger, "GET", "/object/authenticated/theirs/c.wav").content == wav
    removed = storage(stranger, "DELETE", "/object/theirs", json={"prefixes": ["c.wav"]})
    assert [each["name"] for each in removed.json()] == ["c.wav"]


@pytest.mark.parametrize("role", ["anon", "authenticated", "assetdock_worker"])
def test_no_role_reads_or_writes_our_tables_in_spite_of_grants_and_policies(
    owner: Caller, stack: Stack, role: str
) -> None:
    owner.reserve()
    with psycopg.connect(stack.db_url) as database:
        tables = [
            name
            for (name,) in database.execute(
                "select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'p')"
                " and c.relnamespace in ('assetdock_app'::regnamespace, 'assetdock_private'::regnamespace)"
            )
        ]
        assert len(tables) > 10
        database.execute(f"grant usage on schema assetdock_app, assetdock_private to {role}".encode())
        database.execute(f"set local role {role}".encode())
        for table in tables:
            rows = database.execute(f"select count(*) from {table}".encode()).fetchone()
            assert rows == (0,), table
            assert database.execute(f"delete from {table}".encode()).rowcount == 0
        database.rollback()


def test_a_trigger_of_the_project_that_raises_loses_no_asset(owner: Caller, stack: Stack, wav: bytes) -> None:
    with psycopg.connect(stack.postgres_db_url, autocommit=True) as postgres:
        postgres.execute(
            "create function public.refuse() returns trigger language plpgsql as $$"
            " begin if new.metadata ? 'eTag' then raise exception 'not today'; end if; return null; end $$"
        )
        postgres.execute(
            "create trigger z_refuse after insert on storage.objects for each row execute function public.refuse()"
        )
        try:
            reservation = owner.reserve()
            refused = owner.upload(reservation, wav)
        finally:
            postgres.execute("drop function public.refuse cascade")
    asset_id = reservation["asset"]["id"]

    assert refused.status_code >= 400
    assert owner.asset(asset_id)["state"] == "pending_upload"
    assert owner.upload(reservation, wav).status_code == 200  # the same URL
    until(lambda: owner.asset(asset_id)["state"] != "pending_upload", "the bytes to land")
