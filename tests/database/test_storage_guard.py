"""The reservation binds the bytes: what the triggers on storage.objects refuse, seen through Storage's API."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from devstack.stack import Stack
from tests.callers import Caller, Json
from tests.polling import until

Database = psycopg.Connection[Any]


def refusal(answer: httpx.Response) -> str:
    """The message of a refusal, which Storage wraps in HTTP 400 with the real status in the body."""
    body = answer.json()
    assert (answer.status_code, body["statusCode"]) == (400, "403"), answer.text
    message: str = body["message"]
    return message


def storage(caller: Caller, method: str, path: str, **how: Any) -> httpx.Response:
    headers = {"apikey": caller.project.publishable_key, "Authorization": f"Bearer {caller.credential}"}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **how)


def storage_as_service_role(
    caller: Caller, method: str, path: str, sent: dict[str, str] | None = None, **how: Any
) -> httpx.Response:
    secret = caller.project.secret_key
    headers = {"apikey": secret, "Authorization": f"Bearer {secret}", **(sent or {})}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **how)


def state(database: Database, asset_id: str) -> Any:
    row = database.execute("select state from assetdock_app.assets where id = %s", [asset_id]).fetchone()
    assert row is not None
    return row[0]


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def test_signing_a_name_that_was_never_reserved_is_refused(owner: Caller) -> None:
    for name in (str(uuid.uuid4()), "song.mp3", "folder/song.mp3"):
        assert "No upload is reserved" in refusal(storage(owner, "POST", f"/object/upload/sign/assets/{name}", json={}))


def test_signing_a_reserved_name_in_upper_case_is_refused(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"].upper()

    assert "No upload is reserved" in refusal(storage(owner, "POST", f"/object/upload/sign/assets/{asset_id}", json={}))


def test_signing_anothers_reservation_reads_as_if_it_did_not_exist(owner: Caller, stranger: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    answer = storage(stranger, "POST", f"/object/upload/sign/assets/{asset_id}", json={})

    assert "No upload is reserved" in refusal(answer)


def test_a_second_put_is_refused_and_the_first_bytes_stay(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    assert owner.upload(reservation, wav).status_code == 200

    again = owner.upload(reservation, b"other bytes")

    assert again.status_code == 400
    assert again.json()["statusCode"] in ("409", "403")
    assert owner.finished(reservation["asset"]["id"])["size_bytes"] == len(wav)


def test_a_put_that_starts_after_the_window_is_refused(owner: Caller, database: Database, wav: bytes) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    database.execute(
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 s' where id = %s", [asset_id]
    )

    assert "window has closed" in refusal(owner.upload(reservation, wav))
    assert state(database, asset_id) == "pending_upload"


def arriving(stack: Stack) -> int:
    """Bytes in Storage's directory: they grow only after an upload was let in."""
    return sum(file.stat().st_size for file in stack.storage_dir.rglob("*") if file.is_file())


def test_bytes_that_finish_after_finish_by_are_refused(
    owner: Caller, database: Database, stack: Stack, wav: bytes
) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]

    before = arriving(stack)

    def slowly() -> Iterator[bytes]:
        yield wav[:-100]
        until(lambda: arriving(stack) > before, "the upload to have begun")
        database.execute(
            "update assetdock_app.assets set upload_expires_at = now() - interval '2 s', finish_by = now() - interval '1 s'"
            " where id = %s",
            [asset_id],
        )
        yield wav[-100:]

    put = httpx.put(reservation["upload"]["url"], headers=reservation["upload"]["headers"], content=slowly())

    assert "window has closed" in refusal(put)
    assert state(database, asset_id) == "pending_upload"


def test_bytes_that_began_in_time_may_finish_after_the_window(
    owner: Caller, database: Database, stack: Stack, wav: bytes
) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]

    before = arriving(stack)

    def slowly() -> Iterator[bytes]:
        yield wav[:-100]
        until(lambda: arriving(stack) > before, "the upload to have begun")
        database.execute("update assetdock_app.assets set upload_expires_at = now() where id = %s", [asset_id])
        yield wav[-100:]

    put = httpx.put(reservation["upload"]["url"], headers=reservation["upload"]["headers"], content=slowly())

    assert put.status_code == 200
    assert state(database, asset_id) != "pending_upload"


@pytest.mark.parametrize("difference", [-1, 1])
def test_another_size_than_the_reserved_one_is_refused(
    owner: Caller, database: Database, wav: bytes, difference: int
) -> None:
    reservation = owner.reserve(size_bytes=len(wav) + difference)

    assert f"reserved with {len(wav) + difference} bytes" in refusal(owner.upload(reservation, wav))
    assert state(database, reservation["asset"]["id"]) == "pending_upload"


def test_a_chunked_put_cannot_slip_past_the_reserved_size(owner: Caller, database: Database, wav: bytes) -> None:
    reservation = owner.reserve(size_bytes=1000)

    put = httpx.put(reservation["upload"]["url"], headers=reservation["upload"]["headers"], content=chunks(wav))

    assert "reserved with 1000 bytes" in refusal(put)
    assert state(database, reservation["asset"]["id"]) == "pending_upload"


def test_a_chunked_put_cannot_slip_past_the_cap(owner: Caller, database: Database, wav: bytes) -> None:
    reservation = owner.reserve()
    database.execute("insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, 1000)", [owner.owner_id])
    declared = owner.upload(reservation, wav)
    chunked = httpx.put(reservation["upload"]["url"], headers=reservation["upload"]["headers"], content=chunks(wav))

    assert "an asset may have 1000" in refusal(declared)
    assert "an asset may have 1000" in refusal(chunked)


def test_another_type_than_the_reserved_one_is_refused_before_the_bytes_are_sent(
    owner: Caller, database: Database, wav: bytes
) -> None:
    reservation = owner.reserve(content_type="audio/wav")

    refused = owner.upload(reservation, wav, **{"Content-Type": "text/html"})

    assert "reserved as audio/wav" in refusal(refused)
    assert owner.upload(reservation, wav).status_code == 200


def test_without_a_reserved_type_only_media_lands(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve(content_type=None)

    assert "not audio or video" in refusal(owner.upload(reservation, wav, **{"Content-Type": "text/html"}))
    assert owner.upload(reservation, wav, **{"Content-Type": "audio/x-wav"}).status_code == 200


def test_landing_needs_no_confirm_and_queues_exactly_one_probe(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)

    jobs = database.execute("select kind from assetdock_private.jobs where asset_id = %s", [asset_id]).fetchall()
    events = database.execute(
        "select from_state, to_state, actor from assetdock_app.asset_events where asset_id = %s order by id limit 1",
        [asset_id],
    ).fetchall()
    assert jobs == [("probe",)]
    assert events == [("pending_upload", "processing", "session")]


def test_a_keys_upload_is_told_by_its_prefix_in_the_history(
    owner: Caller, key_holder: Caller, database: Database, wav: bytes
) -> None:
    asset_id = key_holder.land(wav)

    actors = [event["actor"] for event in owner.http.get(f"/assets/{asset_id}/events").json()["items"]]
    assert actors[:2] == [key_holder.credential[:16]] * 2


def test_two_overlapping_puts_leave_one_winner(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    inner: list[httpx.Response] = []

    def overtaken() -> Iterator[bytes]:
        yield wav[:10]
        inner.append(owner.upload(reservation, wav))
        yield wav[10:] + b"slow"

    outer = httpx.put(reservation["upload"]["url"], headers=reservation["upload"]["headers"], content=overtaken())

    assert inner[0].status_code == 200
    assert outer.status_code == 400
    asset = owner.finished(reservation["asset"]["id"])
    assert (asset["state"], asset["size_bytes"]) == ("ready", len(wav))


@pytest.mark.parametrize("operation", ["move", "copy"])
def test_not_even_service_role_can_move_or_copy_an_asset(owner: Caller, wav: bytes, operation: str) -> None:
    asset_id, target = owner.land(wav), owner.reserve()["asset"]["id"]

    def attempt(destination: str) -> httpx.Response:
        wish = {"bucketId": "assets", "sourceKey": asset_id, "destinationKey": destination}
        return storage_as_service_role(owner, "POST", f"/object/{operation}", json=wish)

    refusal(attempt("elsewhere"))
    refusal(attempt(target))


def test_not_even_service_role_can_overwrite_an_asset(owner: Caller, wav: bytes) -> None:
    asset_id = owner.land(wav)

    answer = storage_as_service_role(
        owner,
        "PUT",
        f"/object/assets/{asset_id}",
        content=b"other",
        sent={"Content-Type": "audio/wav", "x-upsert": "true"},
    )

    refusal(answer)


@pytest.mark.parametrize(
    "change",
    [
        "name = 'elsewhere'",
        "bucket_id = 'scratch-guard'",
        "version = 'another'",
        'metadata = metadata || \'{"eTag": "x"}\'',
        "metadata = metadata || '{\"size\": 1}'",
        'metadata = metadata || \'{"mimetype": "text/html"}\'',
    ],
)
def test_an_update_of_what_the_object_is_is_refused(owner: Caller, database: Database, wav: bytes, change: str) -> None:
    asset_id = owner.land(wav)
    database.execute("insert into storage.buckets (id, name) values ('scratch-guard', 'g') on conflict do nothing")

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        database.execute(f"update storage.objects set {change} where name = %s", [asset_id])


def test_an_object_of_another_bucket_cannot_be_renamed_into_ours(owner: Caller, database: Database) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute("insert into storage.buckets (id, name) values ('scratch-guard', 'g') on conflict do nothing")
    database.execute("insert into storage.objects (bucket_id, name) values ('scratch-guard', %s)", [asset_id])

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        database.execute("update storage.objects set bucket_id = 'assets' where name = %s", [asset_id])


def test_a_harmless_update_of_other_columns_passes(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)

    updated = database.execute(
        "update storage.objects set last_accessed_at = now(), user_metadata = '{\"a\": 1}',"
        " metadata = metadata || '{\"cacheControl\": \"x\"}' where bucket_id = 'assets' and name = %s",
        [asset_id],
    )

    assert updated.rowcount == 1


def test_other_buckets_are_none_of_our_business(database: Database) -> None:
    database.execute("insert into storage.buckets (id, name) values ('scratch-guard', 'g') on conflict do nothing")

    database.execute("insert into storage.objects (bucket_id, name) values ('scratch-guard', 'any/name')")
    moved = database.execute(
        "update storage.objects set name = 'b' where bucket_id = 'scratch-guard' and name like 'any%'"
    )

    assert moved.rowcount == 1
    with database.transaction():
        database.execute("set local storage.allow_delete_query = 'true'")
        database.execute("delete from storage.objects where bucket_id = 'scratch-guard'")


def test_a_form_may_carry_a_file_of_exactly_the_cap_and_not_a_byte_more(
    owner: Caller, database: Database, wav: bytes
) -> None:
    database.execute(
        "insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, %s)", [owner.owner_id, len(wav)]
    )

    def in_a_form(data: bytes) -> httpx.Response:
        form = {"files": {"": ("tone.wav", data, "audio/wav")}, "data": {"cacheControl": "3600"}}
        return httpx.put(owner.reserve()["upload"]["url"], **form)  # type: ignore[arg-type]

    assert in_a_form(wav).status_code == 200
    assert f"an asset may have {len(wav)}" in refusal(in_a_form(wav + b"."))


def test_a_session_has_no_other_way_into_the_bucket(owner: Caller, stranger: Caller, wav: bytes) -> None:
    pending = owner.reserve()["asset"]["id"]
    ready = owner.land(wav)
    owner.finished(ready)

    def denied(answer: httpx.Response) -> bool:
        return answer.status_code == 400 and answer.json()["statusCode"] in ("403", "404")

    direct = storage(owner, "POST", f"/object/assets/{pending}", content=wav)
    assert denied(direct)
    assert denied(storage(owner, "PUT", f"/object/assets/{ready}", content=wav))
    assert storage(owner, "DELETE", "/object/assets", json={"prefixes": [ready]}).json() == []
    assert denied(storage(stranger, "POST", f"/object/sign/assets/{ready}", json={"expiresIn": 60}))
    assert denied(storage(stranger, "GET", f"/object/authenticated/assets/{ready}"))
    assert storage(stranger, "POST", "/object/list/assets", json={"prefix": ""}).json() == []
    assert owner.asset(ready)["state"] == "ready"


def test_the_owner_may_have_a_download_of_a_ready_asset_signed_and_of_no_other(owner: Caller, wav: bytes) -> None:
    ready: str = owner.land(wav)
    owner.finished(ready)
    failed = owner.land(b"no media", content_type="audio/mpeg")
    owner.finished(failed)

    def sign(asset_id: str) -> Json:
        answer: Json = storage(owner, "POST", f"/object/sign/assets/{asset_id}", json={"expiresIn": 60}).json()
        return answer

    assert "signedURL" in sign(ready)
    assert "signedURL" not in sign(failed)


pytestmark = pytest.mark.usefixtures("worker")
