"""Invalid request bodies, unknown paths and wrong methods."""

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
def test_bodies_that_are_not_json_objects_are_rejected(owner: Caller, body: bytes) -> None:
    assert_rejected(owner.http.post(owner.upload_url, content=body, headers=JSON_TYPE), 400, "bad_request")


@BOTH_ENDPOINTS
def test_rejects_bodies_over_64_kib_with_and_without_a_content_length(owner: Caller) -> None:
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
def test_rejects_bodies_over_64_kib_on_routes_that_ignore_the_body(owner: Caller, method: str, path: str) -> None:
    url = owner.project.api_url + path.format(id=owner.reserve()["asset"]["id"])

    def in_chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    for body in (b" " * 65_537, in_chunks()):
        response = owner.http.request(method, url, content=body, headers=JSON_TYPE)
        assert_rejected(response, 413, "body_too_large")
    assert owner.http.get("/assets", params={"state": "pending_upload"}).json()["items"]  # the requests changed nothing


@BOTH_ENDPOINTS
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_rejects_media_types_other_than_json(owner: Caller, media_type: str) -> None:
    response = owner.http.post(owner.upload_url, content=b'{"type": "audio"}', headers={"Content-Type": media_type})

    assert_rejected(response, 415, "unsupported_media_type")


@BOTH_ENDPOINTS
def test_accepts_json_with_a_charset_in_any_case(owner: Caller) -> None:
    response = owner.http.post(
        owner.upload_url, content=b'{"type": "audio"}', headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )

    assert response.status_code == 201


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
def test_wrong_methods_are_rejected_with_the_allowed_ones(
    project: Project, method: str, path: str, allow: set[str]
) -> None:
    response = httpx.request(method, project.api_url + path)

    assert_rejected(response, 405, "method_not_allowed")
    assert allow <= {each.strip() for each in response.headers["allow"].split(",")}


@pytest.mark.parametrize("path", ["/api/v1", "/api/v1/asset", "/api/v1/assets/", "/api/v1/assets/a/b/c"])
def test_unknown_paths_are_not_found(project: Project, path: str) -> None:
    assert_rejected(httpx.get(project.api_url + path), 404, "not_found")


def test_the_location_of_a_reservation_is_the_url_of_the_asset(owner: Caller) -> None:
    response = owner.http.post(owner.upload_url, json={"type": "audio"})

    assert response.headers["location"] == f"/api/v1/assets/{response.json()['asset']['id']}"


@BOTH_ENDPOINTS
def test_the_upload_url_rejects_methods_other_than_post(upload_url: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        response = httpx.request(method, upload_url)

        assert_rejected(response, 405, "method_not_allowed")
        assert response.headers["allow"] == "POST"


@BOTH_ENDPOINTS
def test_keeps_safe_request_ids_and_replaces_others(upload_url: str) -> None:
    def response_id(given: str) -> str:
        return httpx.post(upload_url, headers={"X-Request-Id": given}).headers["x-request-id"]

    assert response_id("trace-1.2_3") == "trace-1.2_3"
    assert response_id("x" * 128) == "x" * 128
    assert response_id("x" * 129) != "x" * 129
    assert response_id("two words") != "two words"
