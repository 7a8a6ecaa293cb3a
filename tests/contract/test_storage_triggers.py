"""The rows that a trigger on storage.objects sees, and the responses to errors that it raises.

Permission checks are inserts that are rolled back, so a trigger cannot store a row. It raises the row with SQLSTATE
42501, the only error whose message reaches the client, and counts its calls in sequences, which are not rolled back.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.contract.target import RUN, Caller, MakeBucket, Target, put, sign_upload, storage_error

FUNCTION = """
create function contract_scratch.observe() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
  wanted text := (select b.wanted from contract_scratch.behaviour b where b.bucket_id = new.bucket_id);
  landed boolean := coalesce(new.metadata ? 'eTag', false);
begin
  perform nextval(case tg_op
    when 'INSERT' then case when landed then 'contract_scratch.landed' else 'contract_scratch.probes' end
    else 'contract_scratch.updates' end);
  if wanted = 'show probe' and not landed or wanted = 'show landed' and landed then
    raise exception '%', json_build_object(
      'role', current_setting('role'), 'uid', auth.uid(), 'operation', storage.operation(),
      'version', new.version, 'metadata', new.metadata, 'owner_id', new.owner_id, 'op', tg_op)
      using errcode = '42501';
  elsif wanted = 'return null' then
    return null;
  elsif wanted like 'raise %' then
    raise exception 'only for the log' using errcode = split_part(wanted, ' ', 2);
  elsif wanted like 'refuse %' then
    raise exception '%', substr(wanted, 8) using errcode = '42501';
  end if;
  return new;
end
$$
"""


@pytest.fixture(scope="module", autouse=True)
def trigger(sql: psycopg.Connection) -> Iterator[None]:
    sql.execute("drop schema if exists contract_scratch cascade")
    sql.execute("create schema contract_scratch")
    sql.execute("create table contract_scratch.behaviour (bucket_id text primary key, wanted text)")
    for counter in ("probes", "landed", "updates"):
        sql.execute(f"create sequence contract_scratch.{counter}".encode())
    sql.execute(FUNCTION.encode())
    sql.execute(
        "create trigger contract_observe before insert or update on storage.objects for each row "
        f"when (new.bucket_id like 'contract-{RUN}-%') execute function contract_scratch.observe()".encode()
    )
    yield
    sql.execute("drop trigger contract_observe on storage.objects")
    sql.execute("drop schema contract_scratch cascade")


Behave = Callable[[str, str], None]


@pytest.fixture
def behave(sql: psycopg.Connection) -> Behave:
    def make(bucket: str, wanted: str) -> None:
        sql.execute(
            "insert into contract_scratch.behaviour values (%s, %s) "
            "on conflict (bucket_id) do update set wanted = excluded.wanted",
            [bucket, wanted],
        )

    return make


def counts(sql: psycopg.Connection) -> tuple[int, int, int]:
    """How often the trigger has run for (a probe, a landed row, an update)."""
    row = sql.execute(
        "select nextval('contract_scratch.probes'), nextval('contract_scratch.landed'), "
        "nextval('contract_scratch.updates')"
    ).fetchone()
    assert row is not None
    return row


def seen_since(sql: psycopg.Connection, before: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(now - then - 1 for now, then in zip(counts(sql), before, strict=True))


def raised_row(response: Any) -> dict[str, Any]:
    """The row in the message that the trigger raised."""
    assert storage_error(response)[:2] == (400, "403")
    seen: dict[str, Any] = json.loads(response.json()["message"])
    return seen


def test_signing_inserts_one_row_as_the_caller_and_rolls_it_back(
    owner: Caller, bucket: str, behave: Behave, sql: psycopg.Connection
) -> None:
    behave(bucket, "show probe")
    seen = raised_row(owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt", json={"a": 1}))

    assert (seen["role"], seen["uid"], seen["owner_id"]) == ("authenticated", owner.id, owner.id)
    assert seen["operation"] == "storage.object.sign_upload_url"
    assert seen["version"] == "1"
    assert seen["metadata"]["mimetype"] == "application/json"  # the sign request's own
    assert seen["metadata"]["contentLength"] == len('{"a":1}')

    behave(bucket, "count")
    before = counts(sql)
    sign_upload(owner, bucket, "a.txt")
    assert seen_since(sql, before) == (1, 0, 0)
    assert sql.execute("select 1 from storage.objects where bucket_id = %s", [bucket]).fetchone() is None


def test_put_inserts_a_probe_row_before_the_bytes(target: Target, owner: Caller, bucket: str, behave: Behave) -> None:
    signed = sign_upload(owner, bucket, "a.mp3")
    behave(bucket, "show probe")
    seen = raised_row(put(target, signed, b"12345", "audio/mpeg"))

    assert (seen["role"], seen["uid"], seen["owner_id"]) == ("service_role", None, owner.id)
    assert seen["operation"] == "storage.object.upload_signed"
    assert seen["version"] == "1"
    assert seen["metadata"] == {"mimetype": "audio/mpeg", "contentLength": 5}


def test_put_inserts_the_landed_row_after_the_bytes(target: Target, owner: Caller, bucket: str, behave: Behave) -> None:
    signed = sign_upload(owner, bucket, "a.mp3")
    behave(bucket, "show landed")
    seen = raised_row(put(target, signed, b"12345", "audio/mpeg"))

    assert (seen["role"], seen["uid"]) == ("service_role", None)
    assert seen["operation"] == "storage.object.upload_signed"
    assert len(seen["version"]) == 36
    assert seen["metadata"]["size"] == 5


def test_put_runs_two_inserts(target: Target, owner: Caller, bucket: str, sql: psycopg.Connection) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    before = counts(sql)
    put(target, signed)

    assert seen_since(sql, before) == (1, 1, 0)


def test_overwrite_runs_an_insert_and_an_update_each_time(
    target: Target, owner: Caller, bucket: str, sql: psycopg.Connection
) -> None:
    put(target, sign_upload(owner, bucket, "a.txt"), b"one")
    signed = sign_upload(owner, bucket, "a.txt", **{"x-upsert": "true"})
    before = counts(sql)
    response = put(target, signed, b"two")

    assert response.status_code == 200
    assert seen_since(sql, before) == (1, 1, 2)


def test_message_of_42501_reaches_the_uploader(target: Target, owner: Caller, bucket: str, behave: Behave) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    behave(bucket, "refuse This asset is not waiting for bytes.")
    response = put(target, signed)

    assert storage_error(response) == (400, "403", "AccessDenied")
    assert response.json()["message"] == "This asset is not waiting for bytes."


def test_message_about_row_level_security_is_replaced(
    target: Target, owner: Caller, bucket: str, behave: Behave
) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    behave(bucket, "refuse our row-level security says no")

    assert put(target, signed).json()["message"] == "new row violates row-level security policy"


@pytest.mark.parametrize("sqlstate", ["P0001", "23514", "22023", "PT409"])
def test_other_sqlstates_are_500_without_the_message(
    target: Target, owner: Caller, bucket: str, behave: Behave, sqlstate: str
) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    behave(bucket, f"raise {sqlstate}")
    response = put(target, signed)

    assert storage_error(response)[:2] == (500, "500")
    assert "only for the log" not in response.text


def test_trigger_that_returns_null_is_a_500(
    target: Target, owner: Caller, bucket: str, behave: Behave, sql: psycopg.Connection
) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    behave(bucket, "return null")

    assert put(target, signed).status_code == 500
    assert sql.execute("select 1 from storage.objects where bucket_id = %s", [bucket]).fetchone() is None


def test_rejected_landed_row_leaves_no_object(
    target: Target, owner: Caller, bucket: str, behave: Behave, admin: Caller
) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    behave(bucket, "show landed")
    put(target, signed)

    assert admin.get(f"/storage/v1/object/info/{bucket}/a.txt").status_code == 400
    behave(bucket, "count")
    assert put(target, signed).status_code == 200


def test_user_upload_probes_as_the_user_and_lands_as_service_role(
    owner: Caller, make_bucket: MakeBucket, behave: Behave
) -> None:
    bucket = make_bucket()
    behave(bucket, "show probe")
    probe = raised_row(owner.post(f"/storage/v1/object/{bucket}/a.txt", content=b"x"))
    behave(bucket, "show landed")
    landed = raised_row(owner.post(f"/storage/v1/object/{bucket}/a.txt", content=b"x"))

    assert (probe["role"], probe["uid"]) == ("authenticated", owner.id)
    assert (landed["role"], landed["uid"]) == ("service_role", None)
    assert probe["operation"] == landed["operation"] == "storage.object.upload"
