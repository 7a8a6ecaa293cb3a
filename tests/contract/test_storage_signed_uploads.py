"""Signing an upload and putting the bytes."""

import hashlib
from collections.abc import Iterator

import jwt
import psycopg

from tests.contract.target import Caller, MakeBucket, Target, put, refusal, sign_upload


def test_a_signed_url_lacks_the_storage_prefix_and_carries_its_token(owner: Caller, bucket: str) -> None:
    answer = owner.post(f"/storage/v1/object/upload/sign/{bucket}/folder/a.txt").json()

    assert answer["url"] == f"/object/upload/sign/{bucket}/folder/a.txt?token={answer['token']}"


def test_a_token_names_owner_path_and_purpose_but_neither_size_nor_type(owner: Caller, bucket: str) -> None:
    token = owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt").json()["token"]

    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims.keys() == {"owner", "url", "upsert", "scope", "iat", "exp"}
    assert (claims["owner"], claims["url"]) == (owner.id, f"{bucket}/a.txt")
    assert (claims["upsert"], claims["scope"]) == (False, "upload")


def test_the_lifetime_is_one_setting_whatever_the_request_asks(owner: Caller, bucket: str) -> None:
    path = f"/storage/v1/object/upload/sign/{bucket}/a.txt"
    lifetimes = set()
    for expires_in in (5, 99999):
        token = owner.post(path, json={"expiresIn": expires_in}).json()["token"]
        claims = jwt.decode(token, options={"verify_signature": False})
        lifetimes.add(claims["exp"] - claims["iat"])

    assert len(lifetimes) == 1
    assert lifetimes <= {60, 7200}


def test_signing_is_refused_where_no_policy_admits_it(owner: Caller, make_bucket: MakeBucket) -> None:
    closed = make_bucket(open=False)

    answer = owner.post(f"/storage/v1/object/upload/sign/{closed}/a.txt")

    assert refusal(answer) == (400, "403", "AccessDenied")
    assert answer.json()["error"] == "Unauthorized"
    assert answer.json()["message"] == "new row violates row-level security policy"


def test_a_missing_bucket_looks_to_a_user_like_a_forbidden_one(owner: Caller) -> None:
    answer = owner.post("/storage/v1/object/upload/sign/contract-no-such-bucket/a.txt")

    assert refusal(answer) == (400, "403", "AccessDenied")


def test_an_expired_session_is_refused_with_the_reason(target: Target, owner: Caller, bucket: str) -> None:
    expired = target.mint(sub=owner.id, role="authenticated", exp=1_700_000_000)
    with Caller(target, target.publishable_key, expired) as late:
        answer = late.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt")

    assert refusal(answer) == (400, "403", "AccessDenied")
    assert answer.json()["message"] == '"exp" claim timestamp check failed'


def test_an_existing_object_is_only_signed_for_with_upsert(target: Target, owner: Caller, bucket: str) -> None:
    put(target, sign_upload(owner, bucket, "a.txt"))

    again = owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt")
    upsert = owner.post(f"/storage/v1/object/upload/sign/{bucket}/a.txt", headers={"x-upsert": "true"})

    assert refusal(again) == (400, "409", "KeyAlreadyExists")
    assert again.json()["error"] == "Duplicate"
    assert upsert.status_code == 200


def test_the_put_needs_nothing_but_the_url(target: Target, owner: Caller, bucket: str) -> None:
    answer = put(target, sign_upload(owner, bucket, "folder/a.txt"))

    assert answer.status_code == 200
    assert answer.json() == {"Key": f"{bucket}/folder/a.txt"}


def test_the_row_has_the_tokens_owner_and_the_metadata_of_the_bytes(
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


def test_a_bad_token_is_an_invalid_jwt(target: Target, bucket: str) -> None:
    answer = put(target, f"/object/upload/sign/{bucket}/a.txt?token=not.a.token")

    assert refusal(answer) == (400, "400", "InvalidJWT")


def test_a_token_is_good_for_its_own_path_only(target: Target, owner: Caller, bucket: str) -> None:
    signed = sign_upload(owner, bucket, "a.txt")

    answer = put(target, signed.replace("/a.txt", "/b.txt"))

    assert refusal(answer) == (400, "400", "InvalidSignature")


def test_a_download_token_does_not_upload(target: Target, owner: Caller, bucket: str) -> None:
    put(target, sign_upload(owner, bucket, "a.txt"))
    signed = owner.post(f"/storage/v1/object/sign/{bucket}/a.txt", json={"expiresIn": 60}).json()["signedURL"]

    answer = put(target, signed.replace("/object/sign/", "/object/upload/sign/"))

    assert refusal(answer) == (400, "400", "InvalidSignature")


def test_a_missing_token_is_refused(target: Target, bucket: str) -> None:
    assert put(target, f"/object/upload/sign/{bucket}/a.txt").status_code == 400


def test_a_second_put_with_one_token_is_a_duplicate(target: Target, owner: Caller, bucket: str) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    first, second = put(target, signed), put(target, signed)

    assert first.status_code == 200
    assert refusal(second) == (400, "409", "KeyAlreadyExists")


def test_a_token_uploads_again_once_its_object_is_deleted(target: Target, owner: Caller, bucket: str) -> None:
    signed = sign_upload(owner, bucket, "a.txt")
    put(target, signed)
    owner.request("DELETE", f"/storage/v1/object/{bucket}", json={"prefixes": ["a.txt"]})

    assert put(target, signed).status_code == 200


def test_a_policy_dropped_after_signing_does_not_stop_the_put(
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


def test_a_file_at_the_limit_passes_and_one_byte_more_does_not(
    target: Target, owner: Caller, make_bucket: MakeBucket
) -> None:
    small = make_bucket(file_size_limit=1000)

    at_the_limit = put(target, sign_upload(owner, small, "at.bin"), b"x" * 1000)
    above = put(target, sign_upload(owner, small, "above.bin"), b"x" * 1001)

    assert at_the_limit.status_code == 200
    assert refusal(above) == (400, "413", "EntityTooLarge")


def test_the_limit_holds_for_a_file_in_a_form(
    target: Target, owner: Caller, make_bucket: MakeBucket, sql: psycopg.Connection
) -> None:
    small = make_bucket(file_size_limit=1000)
    signed = sign_upload(owner, small, "above.bin")

    answer = owner.put(f"/storage/v1{signed}", files={"file": ("above.bin", b"x" * 1001)})

    assert refusal(answer) == (400, "413", "EntityTooLarge")
    assert sql.execute("select 1 from storage.objects where bucket_id = %s", [small]).fetchone() is None


def test_a_chunked_put_passes_every_size_limit(target: Target, owner: Caller, make_bucket: MakeBucket) -> None:
    small = make_bucket(file_size_limit=1000)

    def chunks() -> Iterator[bytes]:
        for _ in range(5):
            yield b"x" * 1000

    assert put(target, sign_upload(owner, small, "above.bin"), chunks()).status_code == 200


def test_mime_types_are_compared_letter_by_letter(target: Target, owner: Caller, make_bucket: MakeBucket) -> None:
    audio = make_bucket(allowed_mime_types=["audio/mpeg"])
    exact = put(target, sign_upload(owner, audio, "exact"), content_type="audio/mpeg")
    assert exact.status_code == 200

    for refused in ("video/mp4", "Audio/MPEG", "audio/mpeg; codecs=x", None):
        answer = put(target, sign_upload(owner, audio, "refused"), content_type=refused)
        assert refusal(answer) == (400, "415", "InvalidMimeType"), refused
        assert answer.json()["error"] == "invalid_mime_type"


def test_no_content_type_counts_as_octet_stream(target: Target, owner: Caller, make_bucket: MakeBucket) -> None:
    plain = make_bucket(allowed_mime_types=["application/octet-stream"])

    assert put(target, sign_upload(owner, plain, "a"), content_type=None).status_code == 200


def test_a_form_carries_cache_control_metadata_and_the_file(
    owner: Caller, bucket: str, sql: psycopg.Connection
) -> None:
    """As supabase-js sends a Blob: the file under the empty name, after the fields."""
    signed = sign_upload(owner, bucket, "a.webm")

    answer = owner.put(
        f"/storage/v1{signed}",
        data={"cacheControl": "3600", "metadata": '{"take": "2"}'},
        files={"": ("blob", b"bytes of a blob", "video/webm")},
    )

    assert answer.json() == {"Key": f"{bucket}/a.webm"}
    row = sql.execute("select metadata, user_metadata from storage.objects where bucket_id = %s", [bucket]).fetchone()
    assert row is not None
    assert row[0]["mimetype"] == "video/webm"
    assert row[0]["size"] == 15
    assert row[0]["cacheControl"] == "max-age=3600"
    assert row[1] == {"take": "2"}


def test_a_user_uploads_directly_only_where_a_policy_admits_it(
    owner: Caller, bucket: str, make_bucket: MakeBucket
) -> None:
    allowed = owner.post(f"/storage/v1/object/{bucket}/direct.txt", content=b"x")
    refused = owner.post(f"/storage/v1/object/{make_bucket(open=False)}/direct.txt", content=b"x")

    assert allowed.status_code == 200
    assert allowed.json()["Key"] == f"{bucket}/direct.txt"
    assert refusal(refused) == (400, "403", "AccessDenied")
