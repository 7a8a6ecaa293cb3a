"""Storage's API accepts the bytes that a reservation describes, and the triggers on storage.objects refuse others."""

import uuid
from collections.abc import Iterator

import httpx
import pytest

from devstack.stack import Stack
from tests.callers import Caller, Json
from tests.catalogue import Database
from tests.database.storage import chunks, put_slowly, refusal, state, storage
from tests.polling import until

pytestmark = pytest.mark.usefixtures("worker")


def stored_bytes(stack: Stack) -> int:
    """Bytes in Storage's directory. They grow only after Storage has accepted the start of an upload."""
    return sum(file.stat().st_size for file in stack.storage_dir.rglob("*") if file.is_file())


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
    assert owner.wait_until_finished(reservation["asset"]["id"])["size_bytes"] == len(wav)


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


@pytest.mark.parametrize("sent", ["audio/webm", "Audio/WebM ; codecs=opus", "audio/webm;codecs=pcm,opus"])
def test_a_content_type_is_compared_by_type_and_subtype(owner: Caller, wav: bytes, sent: str) -> None:
    reservation = owner.reserve(content_type="audio/webm;codecs=opus")

    assert "reserved as audio/webm" in refusal(owner.upload(reservation, wav, **{"Content-Type": "video/webm"}))
    assert owner.upload(reservation, wav, **{"Content-Type": sent}).status_code == 200


def test_a_form_whose_parameters_storage_drops_lands(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve(content_type="audio/webm;codecs=opus")

    sent = httpx.put(reservation["upload"]["url"], files={"": ("blob", wav, "audio/webm;codecs=opus")}, timeout=60)

    assert sent.status_code == 200, sent.text


@pytest.mark.parametrize("refused", ["text/html", "video/svg+xml", "audio/html", "text/plain", "application/mxf"])
def test_without_a_reserved_content_type_only_listed_types_land(owner: Caller, wav: bytes, refused: str) -> None:
    reservation = owner.reserve(content_type=None)

    message = refusal(owner.upload(reservation, wav, **{"Content-Type": refused}))
    assert f"{refused} is not a type of audio or video" in message
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
    asset = owner.wait_until_finished(reservation["asset"]["id"])
    assert (asset["state"], asset["size_bytes"]) == ("ready", len(wav))


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
