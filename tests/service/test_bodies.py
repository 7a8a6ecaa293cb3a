"""Bodies that are no JSON objects, and requests to paths and methods that don't exist."""

from collections.abc import Iterator

import httpx
import pytest

from tests.callers import BOTH_ENDPOINTS, Caller, Project, assert_rejected

JSON_TYPE = {"Content-Type": "application/json"}


@BOTH_ENDPOINTS
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"type": "audio"',
        b"[]",
        b'"audio"',
        b"null",
        b"3",
        b'{"type": NaN}',
        b'{"type": "\xff"}',
        '{"type": "audio"}'.encode("utf-16"),
        b"[" * 30_000,
        b'{"size_bytes": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_a_bad_request(owner: Caller, body: bytes) -> None:
    assert_rejected(owner.http.post(owner.upload_url, content=body, headers=JSON_TYPE), 400, "bad_request")


@BOTH_ENDPOINTS
def test_a_body_over_64_kib_is_refused_whether_its_length_is_declared_or_not(owner: Caller) -> None:
    def in_chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    declared = owner.http.post(owner.upload_url, content=b" " * 65_537, headers=JSON_TYPE)
    chunked = owner.http.post(owner.upload_url, content=in_chunks(), headers=JSON_TYPE)

    assert_rejected(declared, 413, "body_too_large")
    assert_rejected(chunked, 413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/assets/{id}/confirm"),
        ("POST", "/api/v1/assets/{id}/restore"),
        ("POST", "/api/v1/assets/{id}/upload-url"),
        ("GET", "/api/v1/assets"),
        ("DELETE", "/api/v1/assets/{id}"),
        ("GET", "/healthz"),
        ("GET", "/openapi.json"),
    ],
)
def test_a_body_over_64_kib_is_refused_where_none_is_read_too(owner: Caller, method: str, path: str) -> None:
    url = owner.project.api_url + path.format(id=owner.reserve()["asset"]["id"])

    def in_chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    for body in (b" " * 65_537, in_chunks()):
        answer = owner.http.request(method, url, content=body, headers=JSON_TYPE)
        assert_rejected(answer, 413, "body_too_large")
    assert owner.http.get("/assets", params={"state": "pending_upload"}).json()["items"]  # and nothing was done


@BOTH_ENDPOINTS
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_another_media_type_than_json_is_refused(owner: Caller, media_type: str) -> None:
    answer = owner.http.post(owner.upload_url, content=b'{"type": "audio"}', headers={"Content-Type": media_type})

    assert_rejected(answer, 415, "unsupported_media_type")


@BOTH_ENDPOINTS
def test_json_with_a_charset_is_json(owner: Caller) -> None:
    answer = owner.http.post(
        owner.upload_url, content=b'{"type": "audio"}', headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/api/v1/assets/upload-url", {"POST"}),
        ("DELETE", "/api/v1/assets/upload-url", {"POST"}),
        ("PUT", "/api/v1/assets", {"GET", "HEAD"}),
        ("PATCH", "/api/v1/api-keys", {"POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_names_the_right_ones(project: Project, method: str, path: str, allow: set[str]) -> None:
    answer = httpx.request(method, project.api_url + path)

    assert_rejected(answer, 405, "method_not_allowed")
    assert allow <= {each.strip() for each in answer.headers["allow"].split(",")}


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/asset", "/api/v1/assets/", "/api/v1/assets/a/b/c"])
def test_an_unknown_path_is_not_found(project: Project, path: str) -> None:
    assert_rejected(httpx.get(project.api_url + path), 404, "not_found")


def test_a_reservations_location_is_where_the_asset_is_read(owner: Caller) -> None:
    answer = owner.http.post(owner.upload_url, json={"type": "audio"})

    assert answer.headers["location"] == f"/api/v1/assets/{answer.json()['asset']['id']}"


@BOTH_ENDPOINTS
def test_another_method_than_post_is_refused(upload_url: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = httpx.request(method, upload_url)

        assert_rejected(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"


@BOTH_ENDPOINTS
def test_a_request_id_is_taken_over_when_it_is_safe_and_replaced_when_not(upload_url: str) -> None:
    def answered(given: str) -> str:
        return httpx.post(upload_url, headers={"X-Request-Id": given}).headers["x-request-id"]

    assert answered("trace-1.2_3") == "trace-1.2_3"
    assert answered("x" * 128) == "x" * 128
    assert answered("x" * 129) != "x" * 129
    assert answered("two words") != "two words"
