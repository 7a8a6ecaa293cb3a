"""Signed and authenticated downloads, object info and listings."""

from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.contract.target import Caller, MakeBucket, Target, storage_error

Upload = Callable[..., str]
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def signed(target: Target, owner: Caller, bucket: str, upload: Upload) -> str:
    """The URL of an object of 1024 bytes."""
    upload(owner, bucket, "a/b.bin", CONTENT)
    response = owner.post(f"/storage/v1/object/sign/{bucket}/a/b.bin", json={"expiresIn": 60})
    assert response.json()["signedURL"].startswith(f"/object/sign/{bucket}/a/b.bin?token=")
    return f"{target.url}/storage/v1{response.json()['signedURL']}"


def get(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, url, headers=headers, timeout=240, trust_env=False)


def test_signed_url_serves_the_bytes_without_credentials(signed: str) -> None:
    response = get(signed)

    assert response.status_code == 200
    assert response.content == CONTENT
    assert response.headers["content-type"] == "text/plain"
    assert response.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("requested", "served"),
    [
        ("bytes=0-9", (0, 9)),
        ("bytes=1000-", (1000, 1023)),
        ("bytes=-24", (1000, 1023)),
        ("bytes=1000-9999", (1000, 1023)),
    ],
)
def test_range_request_is_206(signed: str, requested: str, served: tuple[int, int]) -> None:
    response = get(signed, range=requested)

    assert response.status_code == 206
    assert response.content == CONTENT[served[0] : served[1] + 1]
    assert response.headers["content-range"] == f"bytes {served[0]}-{served[1]}/1024"


def test_unsatisfiable_range_is_416(signed: str) -> None:
    assert get(signed, range="bytes=5000-6000").status_code == 416


def test_matching_etag_is_304(signed: str) -> None:
    etag = get(signed).headers["etag"]

    assert get(signed, **{"if-none-match": etag}).status_code == 304
    assert get(signed, **{"if-none-match": '"other"'}).status_code == 200


def test_head_returns_headers_without_a_body(signed: str) -> None:
    response = get(signed, "HEAD")

    assert response.status_code == 200
    assert response.headers["content-length"] == "1024"
    assert response.content == b""


def test_download_parameter_sets_the_file_name(signed: str) -> None:
    disposition = get(f"{signed}&download=take%202.bin").headers["content-disposition"]

    assert disposition.startswith("attachment")
    assert "take%202.bin" in disposition


def test_rejects_a_tampered_token_and_a_token_of_another_path(signed: str) -> None:
    assert storage_error(get(f"{signed}x")) == (400, "400", "InvalidJWT")
    assert storage_error(get(signed.replace("/a/b.bin", "/a/c.bin"))) == (400, "400", "InvalidSignature")


def test_signing_an_absent_or_foreign_object_is_not_found(
    owner: Caller, stranger: Caller, bucket: str, upload: Upload
) -> None:
    upload(owner, bucket, "mine.txt")

    for caller, name in ((owner, "absent.txt"), (stranger, "mine.txt")):
        response = caller.post(f"/storage/v1/object/sign/{bucket}/{name}", json={"expiresIn": 60})
        assert storage_error(response) == (400, "404", "NoSuchKey")


def test_signed_url_works_after_its_policy_is_dropped(
    admin: Caller, owner: Caller, make_bucket: MakeBucket, upload: Upload, sql: psycopg.Connection
) -> None:
    closed = make_bucket(open=False)
    upload(admin, closed, "a.txt", b"still here")
    sql.execute(
        f'create policy "contract {closed}" on storage.objects for select to authenticated '
        f"using (bucket_id = '{closed}')".encode()
    )
    try:
        path = owner.post(f"/storage/v1/object/sign/{closed}/a.txt", json={"expiresIn": 60}).json()["signedURL"]
    finally:
        sql.execute(f'drop policy "contract {closed}" on storage.objects'.encode())

    assert get(f"{owner.target.url}/storage/v1{path}").content == b"still here"


def test_sign_many_returns_an_entry_for_each_path(owner: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "one.txt")

    responses = owner.post(
        f"/storage/v1/object/sign/{bucket}", json={"expiresIn": 60, "paths": ["one.txt", "two.txt"]}
    ).json()

    assert [response["path"] for response in responses] == ["one.txt", "two.txt"]
    assert responses[0]["error"] is None
    assert responses[0]["signedURL"]
    assert responses[1]["error"]
    assert responses[1]["signedURL"] is None


def test_info_returns_size_and_type_of_the_object(owner: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "a.txt", b"12345")

    info = owner.get(f"/storage/v1/object/info/{bucket}/a.txt").json()

    assert info.keys() >= {"id", "name", "version", "size", "content_type", "etag", "metadata", "created_at"}
    assert (info["name"], info["size"], info["content_type"]) == ("a.txt", 5, "text/plain")


def test_policies_apply_to_authenticated_downloads(
    owner: Caller, stranger: Caller, bucket: str, upload: Upload
) -> None:
    upload(owner, bucket, "a.txt", b"12345")

    assert owner.get(f"/storage/v1/object/authenticated/{bucket}/a.txt").content == b"12345"
    response = stranger.get(f"/storage/v1/object/authenticated/{bucket}/a.txt")
    assert storage_error(response) == (400, "404", "NoSuchKey")


def test_list_returns_files_and_folders_of_one_level(owner: Caller, bucket: str, upload: Upload) -> None:
    for name in ("a.txt", "folder/b.txt", "folder/deep/c.txt"):
        upload(owner, bucket, name)

    def names(prefix: str) -> list[str]:
        return [
            item["name"] for item in owner.post(f"/storage/v1/object/list/{bucket}", json={"prefix": prefix}).json()
        ]

    assert names("") == ["a.txt", "folder"]
    assert names("folder") == ["b.txt", "deep"]
