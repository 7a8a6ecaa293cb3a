"""Signed upload URLs and the PUT."""

import hashlib
from collections.abc import Iterator

import jwt
import psycopg
import pytest

from tests.contract.target import Caller, MakeBucket, Target, put, sign_upload, storage_error


def test_signed_url_has_a_token_and_no_storage_prefix(owner: Caller, bucket: str) -> None:
    response = owner.post(f"/storage/v1/object/upload/sign/{bucket}/folder/a.txt").json()

    assert response["url"] == f"/object/upload/sign/{bucket}/folder/a.txt?token={response['token']}"


def test_token_has_owner_path_and_scope_but_no_size_or_type(owner: Caller, bucket: str) -> None:
    token = owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt").json()["token"]

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.keys() == {"owner", "url", "upsert", "scope", "iat", "exp"}
    assert (claims["owner"], claims["url"]) == (owner.id, f"{bucket}/a.txt")
    assert (claims["upsert"], claims["scope"]) == (False, "upload")


def test_token_lifetime_ignores_expires_in_of_the_request(owner: Caller, bucket: str) -> None:
    path = f"/storage/v1/object/upload/sign/{bucket}/a.txt"
    lifetimes = set()
    for expires_in in (5, 99999):
        token = owner.post(path, json={"expiresIn": expires_in}).json()["token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        lifetimes.add(claims["exp"] - claims["iat"])

    assert len(lifetimes) == 1
    assert lifetimes <= {60, 7200}


def test_signing_without_a_policy_is_denied(owner: Caller, make_bucket: MakeBucket) -> None:
    closed = make_bucket(open=False)

    response = owner.post(f"/storage/v1/object/upload/sign/{closed}/a.txt")

    assert storage_error(response) == (400, "403", "AccessDenied")
    assert response.json()["error"] == "Unauthorized"
    assert response.json()["message"] == "new row violates row-level security policy"


def test_missing_bucket_gets_the_same_error_as_a_denied_one(owner: Caller) -> None:
    response = owner.post("/storage/v1/object/upload/sign/contract-no-such-bucket/a.txt")

    assert storage_error(response) == (400, "403", "AccessDenied")


def test_expired_session_is_rejected_with_the_reason(target: Target, owner: Caller, bucket: str) -> None:
    expired = target.mint(sub=owner.id, role="authenticated", exp=1_700_000_000)
    with Caller(target, target.publishable_key, expired) as expired_caller:
        response = expired_caller.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt")

    assert storage_error(response) == (400, "403", "AccessDenied")
    assert response.json()["message"] == '"exp" claim timestamp check failed'


def test_signing_for_an_existing_object_requires_upsert(target: Target, owner: Caller, bucket: str) -> None:
    put(target, sign_upload(owner, bucket, "a.txt"))

    again = owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt")
    upsert = owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt", headers={"x-upsert": "true"})

    assert storage_error(again) == (400, "409", "KeyAlreadyExists")
    assert again.json()["error"] == "Duplicate"
    assert upsert.status_code == 200


def test_put_needs_only_the_signed_url(target: Target, owner: Caller, bucket: str) -> None:
    response = put(target, sign_upload(owner, bucket, "folder/a.txt"))

    assert response.status_code == 200
    assert response.json() == {"Key": f"{bucket}/folder/a.txt"}


def test_row_has_the_owner_of_the_token_and_metadata_of_the_bytes(
    target: Target, owner: Caller, bucket: str, sql: psycopg.Connection
) -> None:
    content = b"0123456789" * 1000
    put(target, sign_upload(owner, bucket, "a.mp3"), content, "audio/mpeg")

    row = sql.execute(
        "select owner_id, owner::text, version, metadata from storage.objects where bucket_id = %s", [bucket]
    ).fetchone()
    assert row is not None
    owner_id, old_owner, version, metadata = row
    assert owner_id == old_owner == owner.id
    assert len(version) == 36
    assert metadata["eTag"] == f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    assert metadata["size"] == metadata["contentLength"] == 10_000
    assert metadata["mimetype"] == "audio/mpeg"
    assert metadata["httpStatusCode"] == 200
    assert metadata.keys() >= {"cacheControl", "lastModified"}


def test_malformed_token_is_an_invalid_jwt(target: Target, bucket: str) -> None:
    response = put(target, f"/object/upload/sign/{bucket}/a.txt?token=not.a.token")

    assert storage_error(response) == (400, "400", "InvalidJWT")


def test_token_is_valid_for_its_own_path_only(target: Target, owner: Caller, bucket: str) -> None:
    signed = sign_upload(owner, bucket, "a.txt")

    response = put(target, signed.replace("/a.txt", "/b.txt"))

    assert storage_error(response) == (400, "400", "InvalidSignature")


def test_download_token_cannot_upload(target: Target, owner: Caller, bucket: str) -> None:
    put(target, sign_upload(owner, bucket, "a.txt"))
    signed = owner.post(f"/storage/v1/object/sign/{bucket}/a.txt", json={"expiresIn": 60}).json()["signedURL"]

    response = put(target, signed.replace("/object/sign/", "/object/upload/sign/"))

    assert storage_error(response) == (400, "400", "InvalidSignature")


def test_missing_token_is_400(target: Target, bucket: str) -> None:
    assert put(target, f"/object/upload/sign/{bucket}/a.txt").status_code == 400


def test_second_put_with_the_same_token_is_a_duplicate(target: Target, owner: Caller, bucket: str) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    first, second = put(target, signed), put(target, signed)

    assert first.status_code == 200
    assert storage_error(second) == (400, "409", "KeyAlreadyExists")


def test_token_can_upload_again_after_its_object_is_deleted(target: Target, owner: Caller, bucket: str) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    put(target, signed)
    owner.request("DELETE", f"/storage/v1/object/{bucket}", json={"prefixes": ["a.txt"]})

    assert put(target, signed).status_code == 200


def test_put_works_after_the_policy_is_dropped(
    target: Target, owner: Caller, make_bucket: MakeBucket, sql: psycopg.Connection
) -> None:
    closed = make_bucket(open=False)
    sql.execute(
        f'create policy "contract {closed}" on storage.objects for insert to authenticated '
        f"with check (bucket_id = '{closed}')".encode()
    )
    try:
        signed = sign_upload(owner, closed, "a.txt")
    finally:
        sql.execute(f'drop policy "contract {closed}" on storage.objects'.encode())

    assert put(target, signed).status_code == 200


def test_size_limit_accepts_the_limit_and_rejects_one_more_byte(
    target: Target, owner: Caller, make_bucket: MakeBucket
) -> None:
    small = make_bucket(file_size_limit=1000)

    at_the_limit = put(target, sign_upload(owner, small, "at.bin"), b"x" * 1000)
    above = put(target, sign_upload(owner, small, "above.bin"), b"x" * 1001)

    assert at_the_limit.status_code == 200
    assert storage_error(above) == (400, "413", "EntityTooLarge")


def test_size_limit_applies_to_a_file_in_a_form(
    target: Target, owner: Caller, make_bucket: MakeBucket, sql: psycopg.Connection
) -> None:
    small = make_bucket(file_size_limit=1000)
    signed = sign_upload(owner, small, "above.bin")

    response = owner.put(f"/storage/v1{signed}", files={"file": ("above.bin", b"x" * 1001)})

    assert storage_error(response) == (400, "413", "EntityTooLarge")
    assert sql.execute("select 1 from storage.objects where bucket_id = %s", [small]).fetchone() is None


def test_chunked_put_bypasses_the_size_limit(target: Target, owner: Caller, make_bucket: MakeBucket) -> None:
    small = make_bucket(file_size_limit=1000)

    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield b"x" * 1000

    assert put(target, sign_upload(owner, small, "above.bin"), chunks()).status_code == 200


def test_allowed_mime_types_are_compared_exactly(target: Target, owner: Caller, make_bucket: MakeBucket) -> None:
    audio = make_bucket(allowed_mime_types=["audio/mpeg"])
    exact = put(target, sign_upload(owner, audio, "exact"), content_type="audio/mpeg")
    assert exact.status_code == 200

    for content_type in ("video/mp4", "Audio/MPEG", "audio/mpeg; codecs=x", None):
        response = put(target, sign_upload(owner, audio, "rejected"), content_type=content_type)
        assert storage_error(response) == (400, "415", "InvalidMimeType"), content_type
        assert response.json()["error"] == "invalid_mime_type"


def test_missing_content_type_counts_as_octet_stream(target: Target, owner: Caller, make_bucket: MakeBucket) -> None:
    plain = make_bucket(allowed_mime_types=["application/octet-stream"])

    assert put(target, sign_upload(owner, plain, "a"), content_type=None).status_code == 200


def test_form_has_cache_control_metadata_and_the_file(owner: Caller, bucket: str, sql: psycopg.Connection) -> None:
    """supabase-js sends a Blob like this: the fields, then the file under an empty name."""
    signed = sign_upload(owner, bucket, "a.webm")

    response = owner.put(
        f"/storage/v1{signed}",
        data={"cacheControl": "3600", "metadata": '{"take": "2"}'},
        files={"": ("blob", b"bytes of a blob", "video/webm")},
    )

    assert response.json() == {"Key": f"{bucket}/a.webm"}
    row = sql.execute("select metadata, user_metadata from storage.objects where bucket_id = %s", [bucket]).fetchone()
    assert row is not None
    assert row[0]["mimetype"] == "video/webm"
    assert row[0]["size"] == 15
    assert row[0]["cacheControl"] == "max-age=3600"
    assert row[1] == {"take": "2"}


@pytest.mark.parametrize(
    ("sent", "recorded"),
    [
        ("audio/webm;codecs=opus", "audio/webm"),
        ("video/webm;codecs=vp8,opus", "video/webm"),
        ('video/mp4; codecs="avc1.42E01E, mp4a.40.2"', "video/mp4"),
        ("Audio/MPEG ;", "audio/mpeg"),
    ],
)
def test_form_drops_the_parameters_of_a_media_type_and_a_raw_body_keeps_them(
    target: Target, owner: Caller, bucket: str, sql: psycopg.Connection, *, sent: str, recorded: str
) -> None:
    form = owner.put(f"/storage/v1{sign_upload(owner, bucket, 'form')}", files={"file": ("a", b"bytes", sent)})
    raw = put(target, sign_upload(owner, bucket, "raw"), content_type=sent)

    assert (form.status_code, raw.status_code) == (200, 200)
    rows = sql.execute(
        "select name, metadata ->> 'mimetype' from storage.objects where bucket_id = %s", [bucket]
    ).fetchall()
    assert dict(rows) == {"form": recorded, "raw": sent}


def test_direct_upload_requires_a_policy(owner: Caller, bucket: str, make_bucket: MakeBucket) -> None:
    allowed = owner.post(f"/storage/v1/object/{bucket}/direct.txt", content=b"x")
    denied = owner.post(f"/storage/v1/object/{make_bucket(open=False)}/direct.txt", content=b"x")

    assert allowed.status_code == 200
    assert allowed.json()["Key"] == f"{bucket}/direct.txt"
    assert storage_error(denied) == (400, "403", "AccessDenied")
