"""Compares every response that a test caller gets with the documentation: status, model, code and headers."""

import re

import httpx

from assetdock_server.routes.entry import JSON, Entry
from assetdock_server.routes.schemas.problems import ErrorResponse
from assetdock_server.routes.table import TABLE
from tests.service.openapi import described, documented_codes

PATTERNS = [(re.compile(re.sub(r"{\w+}", "[^/]+", entry.path)), entry) for entry in TABLE]


def route_of(method: str, path: str) -> Entry | None:
    """Returns the entry of the route that serves the path. A literal path takes precedence over a parameter."""
    matching = [entry for pattern, entry in PATTERNS if entry.method == method and pattern.fullmatch(path)]
    return min(matching, key=lambda entry: entry.path.count("{"), default=None)


def require_documented(response: httpx.Response) -> None:
    """Asserts that the OpenAPI document describes the response. Used as an event hook of httpx."""
    entry = route_of(response.request.method, response.request.url.path)
    if entry is None:
        return
    response.read()
    where = f"{entry.method} {entry.path} -> {response.status_code} {response.text[:500]}"
    _, _, operation = described()[entry.operation.id]
    documented = operation["responses"].get(str(response.status_code))
    assert documented, f"undocumented status: {where}"
    for name in documented["headers"]:
        required = not name.startswith("RateLimit") and documented["headers"][name].get("required", True)
        assert name in response.headers or not required, f"no {name}: {where}"
    if response.status_code == entry.operation.status:
        if entry.operation.response:
            assert response.headers["content-type"] == JSON, where
            entry.operation.response.model_validate_json(response.content)
    elif response.status_code >= 400 and response.headers["content-type"] == JSON:
        error = ErrorResponse.model_validate_json(response.content).error
        assert error.code in documented_codes(operation), f"undocumented code: {where}"
