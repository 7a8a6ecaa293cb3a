"""Signed downloads, what they serve, and object info."""

from collections.abc import Callable

import httpx
import psycopg
import pytest

from tests.contract.target import Caller, MakeBucket, Target, refusal

Upload = Callable[..., str]
CONTENT = bytes(range(256)) * 4


@pytest.fixture
def signed(target: Target, owner: Caller, bucket: str, upload: Upload) -> str:
    """The URL of an object of 1024 bytes."""
    upload(owner, bucket, "a/b.bin", CONTENT)
    answer = owner.post(f"/storage/v1/object/sign/{bucket}/a/b.bin", json={"expiresIn": 60})
    assert answer.json()["signedURL"].startswith(f"/object/sign/{bucket}/a/b.bin?token=")
    return f"{target.url}/storage/v1{answer.json()['signedURL']}"


def get(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, url, headers=headers, timeout=30, trust_env=False)


def test_a_signed_url_serves_the_bytes_to_anyone(signed: str) -> None:
    answer = get(signed)

    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("bytes=0-9", (0, 9)),
        ("bytes=1000-", (1000, 1023)),
        ("bytes=-24", (1000, 1023)),
        ("bytes=1000-9999", (1000, 1023)),
    ],
)
def test_a_range_is_206(signed: str, asked: str, served: tuple[int, int]) -> None:
    answer = get(signed, range=asked)

    assert answer.status_code == 206
    assert answer.content == CONTENT[served[0] : served[1] + 1]
    assert answer.headers["content-range"] == f"bytes {served[0]}-{served[1]}/1024"


def test_a_range_outside_is_416(signed: str) -> None:
    assert get(signed, range="bytes=5000-6000").status_code == 416


def test_an_unchanged_object_is_304(signed: str) -> None:
    etag = get(signed).headers["etag"]

    assert get(signed, **{"if-none-match": etag}).status_code == 304
    assert get(signed, **{"if-none-match": '"other"'}).status_code == 200


def test_head_has_the_headers_and_no_body(signed: str) -> None:
    answer = get(signed, "HEAD")

    assert answer.status_code == 200
    assert answer.headers["content-length"] == "1024"
    assert answer.content == b""


def test_download_names_the_file(signed: str) -> None:
    disposition = get(f"{signed}&download=take%202.bin").headers["content-disposition"]

    assert disposition.startswith("attachment")
    assert "take%202.bin" in disposition


def test_a_tampered_token_is_refused(signed: str) -> None:
    assert refusal(get(f"{signed}x")) == (400, "400", "InvalidJWT")
    assert refusal(get(signed.replace("/a/b.bin", "/a/c.bin"))) == (400, "400", "InvalidSignature")


def test_what_is_absent_or_anothers_is_not_found_when_signing(
    owner: Caller, stranger: Caller, bucket: str, upload: Upload
) -> None:
    upload(owner, bucket, "mine.txt")

    for caller, name in ((owner, "absent.txt"), (stranger, "mine.txt")):
        answer = caller.post(f"/storage/v1/object/sign/{bucket}/{name}", json={"expiresIn": 60})
        assert refusal(answer) == (400, "404", "NoSuchKey")


def test_a_signed_url_outlives_the_policy_it_was_made_under(
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


def test_signing_many_answers_for_each_path(owner: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "one.txt")

    answers = owner.post(
        f"/storage/v1/object/sign/{bucket}", json={"expiresIn": 60, "paths": ["one.txt", "two.txt"]}
    ).json()

    assert [answer["path"] for answer in answers] == ["one.txt", "two.txt"]
    assert answers[0]["error"] is None
    assert answers[0]["signedURL"]
    assert answers[1]["error"]
    assert answers[1]["signedURL"] is None


def test_info_tells_the_facts_of_the_bytes(owner: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "a.txt", b"12345")

    info = owner.get(f"/storage/v1/object/info/{bucket}/a.txt").json()

    assert info.keys() >= {"id", "name", "version", "size", "content_type", "etag", "metadata", "created_at"}
    assert (info["name"], info["size"], info["content_type"]) == ("a.txt", 5, "text/plain")


def test_authenticated_reads_go_through_the_policies(
    owner: Caller, stranger: Caller, bucket: str, upload: Upload
) -> None:
    upload(owner, bucket, "a.txt", b"12345")

    assert owner.get(f"/storage/v1/object/authenticated/{bucket}/a.txt").content == b"12345"
    refused = stranger.get(f"/storage/v1/object/authenticated/{bucket}/a.txt")
    assert refusal(refused) == (400, "404", "NoSuchKey")


def test_a_listing_shows_files_and_folders_of_one_level(owner: Caller, bucket: str, upload: Upload) -> None:
    for name in ("a.txt", "folder/b.txt", "folder/deep/c.txt"):
        upload(owner, bucket, name)

    def names(prefix: str) -> list[str]:
        return [
            item["name"] for item in owner.post(f"/storage/v1/object/list/{bucket}", json={"prefix": prefix}).json()
        ]

    assert names("") == ["a.txt", "folder"]
    assert names("folder") == ["b.txt", "deep"]
