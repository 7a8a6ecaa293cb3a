"""CORS: the requests and response headers that web pages of other origins can use."""

import httpx
import pytest

from assetdock_server.routes.table import TABLE
from tests.callers import BOTH_ENDPOINTS, Project

ORIGIN = {"Origin": "https://app.example.com"}


def preflight(url: str, method: str, headers: str = "authorization") -> httpx.Response:
    requested = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return httpx.options(url, headers={**ORIGIN, **requested})


@BOTH_ENDPOINTS
def test_options_without_preflight_headers_returns_the_allowed_methods(upload_url: str) -> None:
    for headers in ({}, ORIGIN):
        response = httpx.options(upload_url, headers=headers)

        assert (response.status_code, response.content, response.headers["allow"]) == (204, b"", "POST")


def test_every_path_supports_options_without_a_credential(project: Project) -> None:
    for path in {entry.path for entry in TABLE}:
        response = httpx.options(project.api_url + path)

        methods = {entry.method for entry in TABLE if entry.path == path}
        assert response.status_code == 204, path
        assert set(response.headers["allow"].split(", ")) - {"HEAD"} == methods, path
        assert response.headers["x-request-id"]
    assert httpx.options(f"{project.api_url}/api/v1/nothing").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_preflights_allow_the_methods_and_headers_of_the_api(project: Project, method: str) -> None:
    requested = "authorization,content-type,idempotency-key,if-none-match,x-request-id"
    response = preflight(f"{project.api_url}/api/v1/assets", method, requested)

    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == "*"
    assert method in response.headers["access-control-allow-methods"]
    assert set(requested.split(",")) <= set(response.headers["access-control-allow-headers"].lower().split(", "))


@pytest.mark.parametrize(
    "sdk", ["traceparent,tracestate", "baggage,sentry-trace", "x-client-info", "b3", "x-b3-traceid"]
)
def test_preflights_allow_the_headers_that_tracing_sdks_add(project: Project, sdk: str) -> None:
    for path in ("/api/v1/assets/upload-url", "/api/v1/assets"):
        response = preflight(project.api_url + path, "POST", f"authorization,{sdk},content-type")

        allowed = response.headers["access-control-allow-headers"].lower().split(", ")
        assert set(sdk.split(",")) <= set(allowed)


@pytest.mark.parametrize(("method", "headers"), [("PUT", "authorization"), ("GET", "x-secret"), ("PATCH", "")])
def test_preflights_for_other_methods_or_headers_allow_nothing(project: Project, method: str, headers: str) -> None:
    response = preflight(f"{project.api_url}/api/v1/assets", method, headers)

    assert (response.status_code, response.content) == (204, b"")
    assert not [name for name in response.headers if name.startswith("access-control-")]


def test_browsers_can_revalidate_cached_documents(project: Project) -> None:
    url = f"{project.api_url}/openapi.json"
    first = httpx.get(url, headers=ORIGIN)

    again = httpx.get(url, headers={**ORIGIN, "If-None-Match": first.headers["etag"]})

    assert "ETag" in first.headers["access-control-expose-headers"].split(", ")
    assert (again.status_code, again.headers["access-control-allow-origin"]) == (304, "*")
