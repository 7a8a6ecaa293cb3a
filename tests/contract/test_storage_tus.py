"""Resumable uploads: TUS 1.0.0, with the token of a signed upload URL and as a user."""

import base64
import threading
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.contract.target import Caller, MakeBucket, Target, put, sign_upload
from tests.contract.tus import Tus, as_user, by_token, encoded
from tests.polling import until


@pytest.fixture(params=["by token", "as user"])
def tus(request: pytest.FixtureRequest, owner: Caller, bucket: str) -> Tus:
    """Whoever it is may upload `a.bin`."""
    return by_token(owner, bucket, "a.bin") if request.param == "by token" else as_user(owner)


def stored(admin: Caller, bucket: str, name: str = "a.bin") -> bytes | None:
    answer = admin.get(f"/storage/v1/object/authenticated/{bucket}/{name}")
    return answer.content if answer.status_code == 200 else None


def test_options_say_what_is_spoken_here(target: Target) -> None:
    for door in ("", "/sign"):
        answer = httpx.options(f"{target.url}/storage/v1/upload/resumable{door}", timeout=30, trust_env=False)

        assert answer.status_code in (200, 204)
        assert answer.headers["tus-version"] == "1.0.0"
        assert set(answer.headers["tus-extension"].split(",")) >= {
            "creation", "creation-with-upload", "creation-defer-length", "termination", "expiration"
        }  # fmt: skip
        assert int(answer.headers["tus-max-size"]) > 0


def test_an_upload_in_parts_becomes_an_object_with_its_last_part(tus: Tus, bucket: str, admin: Caller) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    first = tus.patch(url, 0, b"01234")

    assert (first.status_code, first.headers["upload-offset"]) == (204, "5")
    assert first.headers["tus-resumable"] == "1.0.0"
    assert stored(admin, bucket) is None
    last = tus.patch(url, 5, b"56789")
    assert (last.status_code, last.headers["upload-offset"]) == (204, "10")
    assert stored(admin, bucket) == b"0123456789"


def test_the_location_names_bucket_object_and_version_in_base64url(tus: Tus, bucket: str) -> None:
    last = tus.begin(bucket, "a.bin", 10).removeprefix(f"{tus.url}/")

    place = base64.urlsafe_b64decode(last + "=" * (-len(last) % 4)).decode()
    assert place.startswith(f"{bucket}/a.bin/")
    assert "=" not in last
    assert len(place.rpartition("/")[2]) == 36


def test_a_head_says_how_far_it_is(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    tus.patch(url, 0, b"0123")
    answer = tus.head(url)

    assert answer.status_code == 200
    assert (answer.headers["upload-offset"], answer.headers["upload-length"]) == ("4", "10")
    assert answer.headers["cache-control"] == "no-store"
    assert encoded({"objectName": "a.bin"}) in answer.headers["upload-metadata"]
    assert answer.headers["tus-resumable"] == "1.0.0"


def test_bytes_may_come_with_the_creation(tus: Tus, bucket: str, admin: Caller) -> None:
    some = tus.create(bucket, "a.bin", 10, content=b"01234")
    assert (some.status_code, some.headers["upload-offset"]) == (201, "5")

    assert tus.create(bucket, "a.bin", 10, content=b"0123456789").headers["upload-offset"] == "10"
    assert stored(admin, bucket) == b"0123456789"


def test_the_length_may_be_told_later(tus: Tus, bucket: str, admin: Caller) -> None:
    url = tus.begin(bucket, "a.bin", None)
    tus.patch(url, 0, b"01234")
    head = tus.head(url)
    assert head.headers["upload-defer-length"] == "1"
    assert "upload-length" not in head.headers

    assert tus.patch(url, 5, b"56", **{"upload-length": "7"}).status_code == 204
    assert stored(admin, bucket) == b"0123456"


def test_an_unfinished_upload_says_when_it_expires(tus: Tus, bucket: str) -> None:
    created = tus.create(bucket, "a.bin", 10)
    if "upload-expires" in created.headers:  # the real one says so on S3, and not on plain files
        assert created.headers["upload-expires"].endswith("GMT")
        assert "upload-expires" in tus.patch(created.headers["location"], 0, b"0").headers


def test_a_wrong_offset_is_a_conflict_and_changes_nothing(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    tus.patch(url, 0, b"01234")
    for offset in (0, 4, 6, 10):
        assert tus.patch(url, offset, b"x").status_code == 409

    assert tus.head(url).headers["upload-offset"] == "5"


def test_a_part_of_another_content_type_is_refused(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)

    assert tus.patch(url, 0, b"x", **{"content-type": "audio/mpeg"}).status_code == 415
    assert tus.head(url).headers["upload-offset"] == "0"


def test_a_request_without_the_protocols_version_is_refused(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)

    assert tus.create(bucket, "a.bin", 10, headers={"tus-resumable": ""}).status_code == 412
    assert tus.patch(url, 0, b"x", **{"tus-resumable": ""}).status_code == 412
    assert tus.head(url, **{"tus-resumable": ""}).status_code == 412


def test_more_bytes_than_were_announced_are_refused(tus: Tus, bucket: str, admin: Caller) -> None:
    def unannounced() -> Iterator[bytes]:
        yield b"x" * 11

    url = tus.begin(bucket, "a.bin", 10)

    assert tus.patch(url, 0, b"x" * 11).status_code == 413
    assert tus.patch(url, 0, unannounced()).status_code in (400, 413)
    assert stored(admin, bucket) is None


def test_the_buckets_limit_holds_from_the_start(owner: Caller, make_bucket: MakeBucket) -> None:
    small = make_bucket(file_size_limit=1000)
    tus = by_token(owner, small, "a.bin")

    assert tus.create(small, "a.bin", 1000).status_code == 201
    assert tus.create(small, "a.bin", 1001).status_code == 413
    deferred = tus.begin(small, "a.bin", None)
    assert tus.patch(deferred, 0, b"x" * 1001).status_code == 413
    assert tus.patch(deferred, 0, b"x", **{"upload-length": "1001"}).status_code == 413


@pytest.mark.parametrize(
    "header", ["", "bucketName", "bucketName !!!", "bucketName YQ==,bucketName YQ==", "bucketName YQ== YQ==", "a,,b"]
)
def test_metadata_that_is_none_is_a_bad_request(tus: Tus, bucket: str, header: str) -> None:
    answer = tus.create(bucket, "a.bin", 10, headers={"upload-metadata": header})

    assert 400 <= answer.status_code < 500
    assert "location" not in answer.headers


@pytest.mark.parametrize("length", ["-1", "1.5", "ten", ""])
def test_a_length_that_is_none_is_a_bad_request(tus: Tus, bucket: str, length: str) -> None:
    assert tus.create(bucket, "a.bin", 10, headers={"upload-length": length}).status_code == 400


def test_metadata_name_the_type_the_caching_and_the_users_own(
    tus: Tus, bucket: str, sql: psycopg.Connection, owner: Caller
) -> None:
    own = {"contentType": "audio/mpeg", "cacheControl": "3600", "metadata": '{"take": "2"}'}
    assert tus.create(bucket, "a.bin", 3, content=b"abc", metadata=own).status_code == 201

    row = sql.execute(
        "select metadata, user_metadata, owner_id, version from storage.objects where bucket_id = %s", [bucket]
    ).fetchone()
    assert row is not None
    assert (row[0]["mimetype"], row[0]["cacheControl"], row[0]["size"]) == ("audio/mpeg", "max-age=3600", 3)
    assert row[0]["eTag"].startswith('"')
    assert row[1] == {"take": "2"}
    assert row[2] == owner.id
    assert len(row[3]) == 36


def test_a_bucket_that_takes_few_types_takes_any_when_none_is_told(owner: Caller, make_bucket: MakeBucket) -> None:
    audio = make_bucket(allowed_mime_types=["audio/mpeg"])
    tus = by_token(owner, audio, "a.bin")

    assert tus.create(audio, "a.bin", 3, metadata={"contentType": "text/html"}).status_code == 415
    assert tus.create(audio, "a.bin", 3, content=b"abc", metadata={"contentType": None}).status_code == 201


def test_an_upload_that_is_given_up_is_gone(tus: Tus, bucket: str, admin: Caller) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    tus.patch(url, 0, b"01234")

    assert tus.delete(url).status_code == 204
    assert tus.head(url).status_code in (404, 410)
    assert tus.patch(url, 5, b"56789").status_code in (404, 410)
    assert stored(admin, bucket) is None


def test_a_finished_upload_is_not_given_up(tus: Tus, bucket: str, admin: Caller) -> None:
    url = str(tus.create(bucket, "a.bin", 3, content=b"abc").headers["location"])

    assert tus.delete(url).status_code in (400, 409)  # a user's probe meets the object before that
    assert stored(admin, bucket) == b"abc"


def test_every_request_needs_the_token(target: Target, owner: Caller, bucket: str) -> None:
    tus = by_token(owner, bucket, "a.bin")
    url = tus.begin(bucket, "a.bin", 10)
    elsewhere = by_token(owner, bucket, "b.bin").headers["x-signature"]

    for token in ("", "not.a.token", elsewhere):
        tus.headers["x-signature"] = token
        assert tus.create(bucket, "a.bin", 10).status_code == 400
        assert tus.head(url).status_code == 400
        assert tus.patch(url, 0, b"x").status_code == 400
        assert tus.delete(url).status_code == 400


def test_a_token_does_not_open_the_users_door(target: Target, owner: Caller, bucket: str) -> None:
    tus = Tus(target, "", by_token(owner, bucket, "a.bin").headers)

    assert tus.create(bucket, "a.bin", 10).status_code in (400, 401, 403)


def test_a_user_needs_a_policy(owner: Caller, stranger: Caller, make_bucket: MakeBucket, bucket: str) -> None:
    closed = make_bucket(open=False)
    refused = as_user(owner).create(closed, "a.bin", 10)

    assert refused.status_code == 403
    assert "row-level security" in refused.text
    url = as_user(owner).begin(bucket, "a.bin", 10)
    put(owner.target, sign_upload(owner, bucket, "a.bin"))
    assert as_user(stranger).patch(url, 0, b"x").status_code == 409  # the name is taken meanwhile


def test_a_missing_bucket_is_not_uploaded_to(owner: Caller) -> None:
    assert as_user(owner).create("contract-no-such-bucket", "a.bin", 10).status_code in (400, 403, 404)


def test_a_token_overwrites_its_object_although_it_says_no_upsert(owner: Caller, bucket: str, admin: Caller) -> None:
    tus = by_token(owner, bucket, "a.bin")
    tus.create(bucket, "a.bin", 3, content=b"one")

    assert tus.create(bucket, "a.bin", 3, content=b"two").status_code == 201
    assert stored(admin, bucket) == b"two"


def test_one_token_serves_put_and_tus(target: Target, owner: Caller, bucket: str, admin: Caller) -> None:
    tus = by_token(owner, bucket, "a.bin")

    put(target, f"/object/upload/sign/{bucket}/a.bin?token={tus.headers['x-signature']}", b"by put")
    assert stored(admin, bucket) == b"by put"
    url = tus.begin(bucket, "a.bin", 6)
    assert tus.patch(url, 0, b"by tus").status_code == 204
    assert stored(admin, bucket) == b"by tus"


def test_of_two_writers_the_later_waits_and_finds_the_offset_moved(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    under_way, released = threading.Event(), threading.Event()
    statuses: list[int] = []

    def slowly() -> Iterator[bytes]:
        yield b"01234"
        under_way.set()
        assert released.wait(15)

    thread = threading.Thread(target=lambda: statuses.append(tus.patch(url, 0, slowly()).status_code))
    thread.start()
    assert under_way.wait(15)
    threading.Timer(0.5, released.set).start()
    second = tus.patch(url, 0, b"abcde")
    thread.join(15)

    assert second.status_code in (409, 423)
    assert statuses == [204]
    assert tus.head(url).headers["upload-offset"] == "5"


def test_a_connection_that_hangs_is_cut_when_the_client_comes_back(owner: Caller, bucket: str, admin: Caller) -> None:
    tus = by_token(owner, bucket, "a.bin")
    url = tus.begin(bucket, "a.bin", 10)
    under_way, over = threading.Event(), threading.Event()
    outcome: list[object] = []

    def hanging() -> Iterator[bytes]:
        yield b"01234"
        under_way.set()
        assert over.wait(15)

    def hang() -> None:
        try:
            outcome.append(tus.patch(url, 0, hanging()).status_code)
        except httpx.TransportError as error:
            outcome.append(error)

    thread = threading.Thread(target=hang)
    thread.start()
    assert under_way.wait(15)
    until(lambda: tus.head(url).headers["upload-offset"] == "5", "the first bytes to be there")
    resumed = tus.patch(url, 5, b"56789")
    over.set()
    thread.join(15)

    assert resumed.status_code == 204
    assert outcome != [204]
    assert stored(admin, bucket) == b"0123456789"


def test_a_browser_may_send_and_read_every_header_of_the_protocol(target: Target, owner: Caller, bucket: str) -> None:
    tus = by_token(owner, bucket, "a.bin")
    names = "tus-resumable,upload-length,upload-offset,upload-metadata,content-type,x-signature"
    asked = {
        "origin": "http://localhost:3000", "access-control-request-method": "PATCH",
        "access-control-request-headers": names,
    }  # fmt: skip
    preflight = httpx.options(tus.url, headers=asked, timeout=30, trust_env=False)
    created = tus.create(bucket, "a.bin", 10, headers={"origin": "http://localhost:3000"})

    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in names.split(","))
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    exposed = created.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("location", "tus-resumable", "upload-offset", "upload-length"))
