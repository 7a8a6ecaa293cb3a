"""Storage's API accepts the bytes that a reservation describes, and the triggers on storage.objects refuse others."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from devstack.stack import Stack
from tests.callers import Caller, Json
from tests.catalogue import Database
from tests.polling import until

pytestmark = pytest.mark.usefixtures("worker")


def refusal(response: httpx.Response) -> str:
    """The message of a refusal. Storage responds with 400 and puts the real status into the body."""
    body = response.json()
    assert (response.status_code, body["statusCode"]) == (400, "403"), response.text
    message: str = body["message"]
    return message


def storage(caller: Caller, method: str, path: str, **options: Any) -> httpx.Response:
    headers = {"apikey": caller.project.publishable_key, "Authorization": f"Bearer {caller.credential}"}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **options)


def storage_as_service_role(
    caller: Caller, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
) -> httpx.Response:
    secret = caller.project.secret_key
    headers = {"apikey": secret, "Authorization": f"Bearer {secret}", **(headers or {})}
    return httpx.request(method, f"{caller.project.supabase_url}/storage/v1{path}", headers=headers, **options)


def put_slowly(reservation: Json, content: Iterator[bytes]) -> httpx.Response:
    """The signed PUT as a chunked body, without a declared length."""
    target = reservation["upload"]
    return httpx.put(target["url"], headers=target["headers"], content=content)


def state(database: Database, asset_id: str) -> Any:
    row = database.execute("select state from assetdock_app.assets where id = %s", [asset_id]).fetchone()
    assert row is not None
    return row[0]


def chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), 1000):
        yield data[start : start + 1000]


def stored_bytes(stack: Stack) -> int:
    """Bytes in Storage's directory. They grow only after Storage has accepted the start of an upload."""
    return sum(file.stat().st_size for file in stack.storage_dir.rglob("*") if file.is_file())


@pytest.fixture
def other_bucket(database: Database) -> str:
    database.execute("insert into storage.buckets (id, name) values ('scratch-guard', 'g') on conflict do nothing")
    return "scratch-guard"


def test_signing_a_name_that_was_never_reserved_is_refused(owner: Caller) -> None:
    for name in (str(uuid.uuid4()), "song.mp3", "folder/song.mp3"):
        assert "No upload is reserved" in refusal(storage(owner, "POST", f"/object/upload/sign/assets/{name}", json={}))


def test_signing_a_reserved_name_in_upper_case_is_refused(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"].upper()

    assert "No upload is reserved" in refusal(storage(owner, "POST", f"/object/upload/sign/assets/{asset_id}", json={}))


def test_a_stranger_signing_a_reservation_is_told_that_it_does_not_exist(owner: Caller, stranger: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    response = storage(stranger, "POST", f"/object/upload/sign/assets/{asset_id}", json={})

    assert "No upload is reserved" in refusal(response)


def test_a_second_put_is_refused_and_the_first_bytes_stay(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    assert owner.upload(reservation, wav).status_code == 200

    second = owner.upload(reservation, b"other bytes")

    assert second.status_code == 400
    assert second.json()["statusCode"] in ("409", "403")
    assert owner.finished(reservation["asset"]["id"])["size_bytes"] == len(wav)


def test_a_put_that_starts_after_the_upload_window_is_refused(owner: Caller, database: Database, wav: bytes) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    database.execute(
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 s' where id = %s", [asset_id]
    )

    assert "window has closed" in refusal(owner.upload(reservation, wav))
    assert state(database, asset_id) == "pending_upload"


def put_while_time_passes(
    reservation: Json, database: Database, stack: Stack, data: bytes, times: str
) -> httpx.Response:
    """Starts the PUT within the upload window, then sets times of the asset, then sends the last bytes."""
    before = stored_bytes(stack)

    def content() -> Iterator[bytes]:
        yield data[:-100]
        until(lambda: stored_bytes(stack) > before, "the upload to have begun")
        database.execute(f"update assetdock_app.assets set {times} where id = %s", [reservation["asset"]["id"]])
        yield data[-100:]

    return put_slowly(reservation, content())


def test_bytes_that_finish_after_finish_by_are_refused(
    owner: Caller, database: Database, stack: Stack, wav: bytes
) -> None:
    reservation = owner.reserve()
    passed = "upload_expires_at = now() - interval '2 s', finish_by = now() - interval '1 s'"

    put = put_while_time_passes(reservation, database, stack, wav, passed)

    assert "window has closed" in refusal(put)
    assert state(database, reservation["asset"]["id"]) == "pending_upload"


def test_an_upload_that_starts_within_the_window_can_finish_after_it(
    owner: Caller, database: Database, stack: Stack, wav: bytes
) -> None:
    reservation = owner.reserve()

    put = put_while_time_passes(reservation, database, stack, wav, "upload_expires_at = now()")

    assert put.status_code == 200
    assert state(database, reservation["asset"]["id"]) != "pending_upload"


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_size_other_than_the_reserved_size_is_refused(
    owner: Caller, database: Database, wav: bytes, difference: int
) -> None:
    reservation = owner.reserve(size_bytes=len(wav) + difference)

    assert f"reserved with {len(wav) + difference} bytes" in refusal(owner.upload(reservation, wav))
    assert state(database, reservation["asset"]["id"]) == "pending_upload"


def test_a_chunked_put_larger_than_the_reserved_size_is_refused(owner: Caller, database: Database, wav: bytes) -> None:
    reservation = owner.reserve(size_bytes=1000)

    put = put_slowly(reservation, chunks(wav))

    assert "reserved with 1000 bytes" in refusal(put)
    assert state(database, reservation["asset"]["id"]) == "pending_upload"


def test_an_upload_over_the_owners_size_limit_is_refused_with_and_without_a_declared_length(
    owner: Caller, database: Database, wav: bytes
) -> None:
    reservation = owner.reserve()
    database.execute("insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, 1000)", [owner.owner_id])

    declared = owner.upload(reservation, wav)
    chunked = put_slowly(reservation, chunks(wav))

    assert "an asset may have 1000" in refusal(declared)
    assert "an asset may have 1000" in refusal(chunked)


def test_a_content_type_other_than_the_reserved_one_is_refused_before_the_bytes_are_sent(
    owner: Caller, database: Database, wav: bytes
) -> None:
    reservation = owner.reserve(content_type="audio/wav")

    refused = owner.upload(reservation, wav, **{"Content-Type": "text/html"})

    assert "reserved as audio/wav" in refusal(refused)
    assert owner.upload(reservation, wav).status_code == 200


def test_without_a_reserved_content_type_only_audio_and_video_land(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve(content_type=None)

    assert "not audio or video" in refusal(owner.upload(reservation, wav, **{"Content-Type": "text/html"}))
    assert owner.upload(reservation, wav, **{"Content-Type": "audio/x-wav"}).status_code == 200


def test_landing_without_a_confirm_queues_exactly_one_probe(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)

    jobs = database.execute("select kind from assetdock_private.jobs where asset_id = %s", [asset_id]).fetchall()
    events = database.execute(
        "select from_state, to_state, actor from assetdock_app.asset_events where asset_id = %s order by id limit 1",
        [asset_id],
    ).fetchall()
    assert jobs == [("probe",)]
    assert events == [("pending_upload", "processing", "session")]


def test_the_history_names_an_api_key_by_its_prefix(
    owner: Caller, key_holder: Caller, database: Database, wav: bytes
) -> None:
    asset_id = key_holder.land(wav)

    actors = [event["actor"] for event in owner.http.get(f"/assets/{asset_id}/events").json()["items"]]
    assert actors[:2] == [key_holder.credential[:16]] * 2


def test_of_two_overlapping_puts_only_the_first_to_finish_lands(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    first: list[httpx.Response] = []

    def content() -> Iterator[bytes]:
        yield wav[:10]
        first.append(owner.upload(reservation, wav))
        yield wav[10:] + b"slow"

    second = put_slowly(reservation, content())

    assert first[0].status_code == 200
    assert second.status_code == 400
    asset = owner.finished(reservation["asset"]["id"])
    assert (asset["state"], asset["size_bytes"]) == ("ready", len(wav))


@pytest.mark.parametrize("operation", ["move", "copy"])
def test_service_role_cannot_move_or_copy_an_asset(owner: Caller, wav: bytes, operation: str) -> None:
    asset_id, target = owner.land(wav), owner.reserve()["asset"]["id"]

    def attempt(destination: str) -> httpx.Response:
        body = {"bucketId": "assets", "sourceKey": asset_id, "destinationKey": destination}
        return storage_as_service_role(owner, "POST", f"/object/{operation}", json=body)

    refusal(attempt("elsewhere"))
    refusal(attempt(target))


def test_service_role_cannot_overwrite_an_asset(owner: Caller, wav: bytes) -> None:
    asset_id = owner.land(wav)

    response = storage_as_service_role(
        owner,
        "PUT",
        f"/object/assets/{asset_id}",
        content=b"other",
        headers={"Content-Type": "audio/wav", "x-upsert": "true"},
    )

    refusal(response)


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
@pytest.mark.usefixtures("other_bucket")
def test_an_update_of_an_objects_place_version_size_or_type_is_refused(
    owner: Caller, database: Database, wav: bytes, change: str
) -> None:
    asset_id = owner.land(wav)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        database.execute(f"update storage.objects set {change} where name = %s", [asset_id])


def test_an_object_of_another_bucket_cannot_be_moved_into_ours(
    owner: Caller, database: Database, other_bucket: str
) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute("insert into storage.objects (bucket_id, name) values (%s, %s)", [other_bucket, asset_id])

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        database.execute("update storage.objects set bucket_id = 'assets' where name = %s", [asset_id])


def test_an_update_of_an_objects_other_columns_is_allowed(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)

    updated = database.execute(
        "update storage.objects set last_accessed_at = now(), user_metadata = '{\"a\": 1}',"
        " metadata = metadata || '{\"cacheControl\": \"x\"}' where bucket_id = 'assets' and name = %s",
        [asset_id],
    )

    assert updated.rowcount == 1


def test_objects_of_another_bucket_can_have_any_name_and_be_renamed(database: Database, other_bucket: str) -> None:
    database.execute("insert into storage.objects (bucket_id, name) values (%s, 'any/name')", [other_bucket])
    renamed = database.execute(
        "update storage.objects set name = 'b' where bucket_id = %s and name = 'any/name'", [other_bucket]
    )

    assert renamed.rowcount == 1
    with database.transaction():
        database.execute("set local storage.allow_delete_query = 'true'")
        database.execute("delete from storage.objects where bucket_id = %s", [other_bucket])


def test_a_multipart_upload_can_carry_exactly_the_size_limit_and_no_byte_more(
    owner: Caller, database: Database, wav: bytes
) -> None:
    database.execute(
        "insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, %s)", [owner.owner_id, len(wav)]
    )

    def put_form(data: bytes) -> httpx.Response:
        form = {"files": {"": ("tone.wav", data, "audio/wav")}, "data": {"cacheControl": "3600"}}
        return httpx.put(owner.reserve()["upload"]["url"], **form)  # type: ignore[arg-type]

    assert put_form(wav).status_code == 200
    assert f"an asset may have {len(wav)}" in refusal(put_form(wav + b"."))


def test_a_session_cannot_write_or_delete_directly_and_a_stranger_cannot_read(
    owner: Caller, stranger: Caller, wav: bytes
) -> None:
    pending = owner.reserve()["asset"]["id"]
    ready = owner.land(wav)
    owner.finished(ready)

    def denied(response: httpx.Response) -> bool:
        return response.status_code == 400 and response.json()["statusCode"] in ("403", "404")

    assert denied(storage(owner, "POST", f"/object/assets/{pending}", content=wav))
    assert denied(storage(owner, "PUT", f"/object/assets/{ready}", content=wav))
    assert storage(owner, "DELETE", "/object/assets", json={"prefixes": [ready]}).json() == []
    assert denied(storage(stranger, "POST", f"/object/sign/assets/{ready}", json={"expiresIn": 60}))
    assert denied(storage(stranger, "GET", f"/object/authenticated/assets/{ready}"))
    assert storage(stranger, "POST", "/object/list/assets", json={"prefix": ""}).json() == []
    assert owner.asset(ready)["state"] == "ready"


def test_the_owner_gets_a_signed_download_of_a_ready_asset_but_not_of_a_failed_one(owner: Caller, wav: bytes) -> None:
    ready: str = owner.land(wav)
    owner.finished(ready)
    failed = owner.land(b"no media", content_type="audio/mpeg")
    owner.finished(failed)

    def sign(asset_id: str) -> Json:
        body: Json = storage(owner, "POST", f"/object/sign/assets/{asset_id}", json={"expiresIn": 60}).json()
        return body

    assert "signedURL" in sign(ready)
    assert "signedURL" not in sign(failed)
