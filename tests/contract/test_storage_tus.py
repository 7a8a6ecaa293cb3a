"""Resumable uploads: TUS 1.0.0, with the token of a signed upload URL and as a user."""

import base64
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from tests.contract.target import Caller, MakeBucket, Target, put, sign_upload
from tests.contract.tus import Tus, as_user, by_token, encode_metadata, stored


def test_options_returns_version_extensions_and_max_size(target: Target) -> None:
    for path in ("", "/sign"):
        response = httpx.options(f"{target.url}/storage/v1/upload/resumable{path}", timeout=240, trust_env=False)

        assert response.status_code in (200, 204)
        assert response.headers["tus-version"] == "1.0.0"
        assert set(response.headers["tus-extension"].split(",")) >= {
            "creation", "creation-with-upload", "creation-defer-length", "termination", "expiration"
        }  # fmt: skip
        assert int(response.headers["tus-max-size"]) > 0


def test_upload_becomes_an_object_with_its_last_chunk(tus: Tus, bucket: str, admin: Caller) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    first = tus.patch(url, 0, b"01234")

    assert (first.status_code, first.headers["upload-offset"]) == (204, "5")
    assert first.headers["tus-resumable"] == "1.0.0"
    assert stored(admin, bucket) is None
    last = tus.patch(url, 5, b"56789")
    assert (last.status_code, last.headers["upload-offset"]) == (204, "10")
    assert stored(admin, bucket) == b"0123456789"


def test_location_encodes_bucket_name_and_version_in_base64url(tus: Tus, bucket: str) -> None:
    segment = tus.begin(bucket, "a.bin", 10).removeprefix(f"{tus.url}/")

    place = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)).decode()
    assert place.startswith(f"{bucket}/a.bin/")
    assert "=" not in segment
    assert len(place.rpartition("/")[2]) == 36


def test_head_returns_the_offset(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    tus.patch(url, 0, b"0123")
    response = tus.head(url)

    assert response.status_code == 200
    assert (response.headers["upload-offset"], response.headers["upload-length"]) == ("4", "10")
    assert response.headers["cache-control"] == "no-store"
    assert encode_metadata({"objectName": "a.bin"}) in response.headers["upload-metadata"]
    assert response.headers["tus-resumable"] == "1.0.0"


def test_creation_accepts_bytes(tus: Tus, bucket: str, admin: Caller) -> None:
    some = tus.create(bucket, "a.bin", 10, content=b"01234")
    assert (some.status_code, some.headers["upload-offset"]) == (201, "5")

    assert tus.create(bucket, "a.bin", 10, content=b"0123456789").headers["upload-offset"] == "10"
    assert stored(admin, bucket) == b"0123456789"


def test_length_can_be_deferred(tus: Tus, bucket: str, admin: Caller) -> None:
    url = tus.begin(bucket, "a.bin", None)
    tus.patch(url, 0, b"01234")
    head = tus.head(url)
    assert head.headers["upload-defer-length"] == "1"
    assert "upload-length" not in head.headers

    assert tus.patch(url, 5, b"56", **{"upload-length": "7"}).status_code == 204
    assert stored(admin, bucket) == b"0123456"


def test_unfinished_upload_has_upload_expires(tus: Tus, bucket: str) -> None:
    created = tus.create(bucket, "a.bin", 10)
    if "upload-expires" in created.headers:  # the real Storage sends it with S3 only
        assert created.headers["upload-expires"].endswith("GMT")
        assert "upload-expires" in tus.patch(created.headers["location"], 0, b"0").headers


def test_wrong_offset_is_a_conflict_and_changes_nothing(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    tus.patch(url, 0, b"01234")
    for offset in (0, 4, 6, 10):
        assert tus.patch(url, offset, b"x").status_code == 409

    assert tus.head(url).headers["upload-offset"] == "5"


@pytest.mark.parametrize(
    ("content_type", "status", "text"),
    [("audio/mpeg", 400, "Invalid content-type"), ("", 403, ""), ("application/json", 400, "")],
)
def test_rejects_a_chunk_with_another_content_type(
    tus: Tus, bucket: str, content_type: str, status: int, text: str
) -> None:
    url = tus.begin(bucket, "a.bin", 10)

    response = tus.patch(url, 0, b"x", **{"content-type": content_type})

    assert response.status_code == status
    assert text in response.text
    assert tus.head(url).headers["upload-offset"] == "0"


def test_the_method_cannot_be_overridden(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)

    response = tus.request("POST", url, content=b"x", **{"upload-offset": "0", "x-http-method-override": "PATCH"})

    assert response.status_code in (400, 404)
    assert tus.head(url).headers["upload-offset"] == "0"


def test_a_refused_upload_is_gone(tus: Tus, bucket: str, sql: psycopg.Connection) -> None:
    sql.execute(
        "create or replace function public.contract_refuse() returns trigger language plpgsql as"
        " $$ begin raise sqlstate '42501' using message = 'not this one'; end $$"
    )
    sql.execute(
        f"create trigger contract_refuse before insert on storage.objects for each row when (new.bucket_id = '{bucket}'"
        " and new.metadata ? 'eTag') execute function public.contract_refuse()".encode()
    )
    try:
        url = tus.begin(bucket, "a.bin", 3)
        refused = tus.patch(url, 0, b"abc")
        gone = tus.head(url)
    finally:
        sql.execute("drop function public.contract_refuse cascade")

    assert refused.status_code == 403
    assert gone.status_code == 410


def test_request_without_tus_resumable_is_412(tus: Tus, bucket: str) -> None:
    url = tus.begin(bucket, "a.bin", 10)

    assert tus.create(bucket, "a.bin", 10, headers={"tus-resumable": ""}).status_code == 412
    assert tus.patch(url, 0, b"x", **{"tus-resumable": ""}).status_code == 412
    assert tus.head(url, **{"tus-resumable": ""}).status_code == 412


def test_rejects_more_bytes_than_upload_length(tus: Tus, bucket: str, admin: Caller) -> None:
    def oversized() -> Iterator[bytes]:
        yield b"x" * 11

    url = tus.begin(bucket, "a.bin", 10)

    assert tus.patch(url, 0, b"x" * 11).status_code == 413
    assert tus.patch(url, 0, oversized()).status_code in (400, 413)
    assert stored(admin, bucket) is None


def test_bucket_size_limit_applies_from_creation(owner: Caller, make_bucket: MakeBucket) -> None:
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
def test_rejects_malformed_metadata(tus: Tus, bucket: str, header: str) -> None:
    response = tus.create(bucket, "a.bin", 10, headers={"upload-metadata": header})

    assert 400 <= response.status_code < 500
    assert "location" not in response.headers


@pytest.mark.parametrize("length", ["-1", "1.5", "ten", ""])
def test_rejects_a_malformed_length(tus: Tus, bucket: str, length: str) -> None:
    assert tus.create(bucket, "a.bin", 10, headers={"upload-length": length}).status_code == 400


def test_metadata_sets_type_cache_control_and_user_metadata(
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


def test_missing_content_type_bypasses_allowed_mime_types(owner: Caller, make_bucket: MakeBucket) -> None:
    audio = make_bucket(allowed_mime_types=["audio/mpeg"])
    tus = by_token(owner, audio, "a.bin")

    assert tus.create(audio, "a.bin", 3, metadata={"contentType": "text/html"}).status_code == 415
    assert tus.create(audio, "a.bin", 3, content=b"abc", metadata={"contentType": None}).status_code == 201


def test_terminated_upload_is_not_found(tus: Tus, bucket: str, admin: Caller) -> None:
    url = tus.begin(bucket, "a.bin", 10)
    tus.patch(url, 0, b"01234")

    assert tus.delete(url).status_code == 204
    assert tus.head(url).status_code in (404, 410)
    assert tus.patch(url, 5, b"56789").status_code in (404, 410)
    assert stored(admin, bucket) is None


def test_finished_upload_cannot_be_terminated(tus: Tus, bucket: str, admin: Caller) -> None:
    url = str(tus.create(bucket, "a.bin", 3, content=b"abc").headers["location"])

    assert tus.delete(url).status_code in (400, 409)  # for a user the permission check finds the object first
    assert stored(admin, bucket) == b"abc"


def test_every_request_requires_the_token(target: Target, owner: Caller, bucket: str) -> None:
    tus = by_token(owner, bucket, "a.bin")
    url = tus.begin(bucket, "a.bin", 10)
    elsewhere = by_token(owner, bucket, "b.bin").headers["x-signature"]

    for token in ("", "not.a.token", elsewhere):
        tus.headers["x-signature"] = token
        assert tus.create(bucket, "a.bin", 10).status_code == 400
        assert tus.head(url).status_code == 400
        assert tus.patch(url, 0, b"x").status_code == 400
        assert tus.delete(url).status_code == 400


def test_upload_token_is_rejected_without_the_sign_path(target: Target, owner: Caller, bucket: str) -> None:
    tus = Tus(target, "", by_token(owner, bucket, "a.bin").headers)

    assert tus.create(bucket, "a.bin", 10).status_code in (400, 401, 403)


def test_user_upload_requires_a_policy(owner: Caller, stranger: Caller, make_bucket: MakeBucket, bucket: str) -> None:
    closed = make_bucket(open=False)
    denied = as_user(owner).create(closed, "a.bin", 10)

    assert denied.status_code == 403
    assert "row-level security" in denied.text
    url = as_user(owner).begin(bucket, "a.bin", 10)
    put(owner.target, sign_upload(owner, bucket, "a.bin"))
    assert as_user(stranger).patch(url, 0, b"x").status_code == 409  # the name is taken by now


def test_rejects_an_upload_to_a_missing_bucket(owner: Caller) -> None:
    assert as_user(owner).create("contract-no-such-bucket", "a.bin", 10).status_code in (400, 403, 404)


def test_token_without_upsert_overwrites_its_object(owner: Caller, bucket: str, admin: Caller) -> None:
    tus = by_token(owner, bucket, "a.bin")
    tus.create(bucket, "a.bin", 3, content=b"one")

    assert tus.create(bucket, "a.bin", 3, content=b"two").status_code == 201
    assert stored(admin, bucket) == b"two"


def test_one_token_works_for_put_and_tus(target: Target, owner: Caller, bucket: str, admin: Caller) -> None:
    tus = by_token(owner, bucket, "a.bin")

    put(target, f"/object/upload/sign/{bucket}/a.bin?token={tus.headers['x-signature']}", b"by put")
    assert stored(admin, bucket) == b"by put"
    url = tus.begin(bucket, "a.bin", 6)
    assert tus.patch(url, 0, b"by tus").status_code == 204
    assert stored(admin, bucket) == b"by tus"


def test_cors_allows_and_exposes_the_protocol_headers(target: Target, owner: Caller, bucket: str) -> None:
    tus = by_token(owner, bucket, "a.bin")
    names = "tus-resumable,upload-length,upload-offset,upload-metadata,content-type,x-signature"
    headers = {
        "origin": "http://localhost:3000", "access-control-request-method": "PATCH",
        "access-control-request-headers": names,
    }  # fmt: skip
    preflight = httpx.options(tus.url, headers=headers, timeout=240, trust_env=False)
    created = tus.create(bucket, "a.bin", 10, headers={"origin": "http://localhost:3000"})

    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in names.split(","))
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    exposed = created.headers["access-control-expose-headers"].lower()
    assert all(name in exposed for name in ("location", "tus-resumable", "upload-offset", "upload-length"))
