"""What a browser app of another origin may ask and read."""

import httpx
import pytest

from assetdock_server.routes.table import TABLE
from tests.callers import BOTH_ENDPOINTS, Project

ORIGIN = {"Origin": "https://app.example.com"}


def preflight(url: str, method: str, headers: str = "authorization") -> httpx.Response:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return httpx.options(url, headers={**ORIGIN, **asked})


@BOTH_ENDPOINTS
def test_options_without_a_preflights_headers_says_what_a_path_takes(upload_url: str) -> None:
    for headers in ({}, ORIGIN):
        answer = httpx.options(upload_url, headers=headers)

        assert (answer.status_code, answer.content, answer.headers["allow"]) == (204, b"", "POST")


def test_every_path_answers_options_without_a_token(project: Project) -> None:
    for path in {entry.path for entry in TABLE}:
        answer = httpx.options(project.api_url + path)

        methods = {entry.method for entry in TABLE if entry.path == path}
        assert answer.status_code == 204, path
        assert set(answer.headers["allow"].split(", ")) - {"HEAD"} == methods, path
        assert answer.headers["x-request-id"]
    assert httpx.options(f"{project.api_url}/api/v1/nothing").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_a_browser_may_use_what_the_api_offers(project: Project, method: str) -> None:
    asked = "authorization,content-type,idempotency-key,if-none-match,x-request-id"
    answer = preflight(f"{project.api_url}/api/v1/assets", method, asked)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert method in answer.headers["access-control-allow-methods"]
    assert set(asked.split(",")) <= set(answer.headers["access-control-allow-headers"].lower().split(", "))


@pytest.mark.parametrize(("method", "headers"), [("PUT", "authorization"), ("GET", "x-secret"), ("PATCH", "")])
def test_a_preflight_for_more_than_that_allows_nothing(project: Project, method: str, headers: str) -> None:
    answer = preflight(f"{project.api_url}/api/v1/assets", method, headers)

    assert (answer.status_code, answer.content) == (204, b"")
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_browser_can_revalidate_a_document_it_has(project: Project) -> None:
    url = f"{project.api_url}/openapi.json"
    first = httpx.get(url, headers=ORIGIN)

    again = httpx.get(url, headers={**ORIGIN, "If-None-Match": first.headers["etag"]})

    assert "ETag" in first.headers["access-control-expose-headers"].split(", ")
    assert (again.status_code, again.headers["access-control-allow-origin"]) == (304, "*")
