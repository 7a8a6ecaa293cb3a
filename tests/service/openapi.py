"""The OpenAPI document that the service serves, for tests that compare it with the service's behaviour."""

from functools import cache
from typing import Any

from assetdock_server.documents.markdown import operations
from assetdock_server.documents.openapi import openapi
from assetdock_server.routes.entry import Entry
from assetdock_server.routes.table import TABLE

Json = dict[str, Any]


@cache
def document() -> Json:
    return openapi(TABLE)


def described() -> dict[str, tuple[str, str, Json]]:
    """Returns `(method, path, operation)` by operationId."""
    return {operation["operationId"]: (method, path, operation) for method, path, operation in operations(document())}


def entry(operation_id: str) -> Entry:
    return next(each for each in TABLE if each.operation.id == operation_id)


def documented_codes(operation: Json) -> set[str]:
    return {
        code
        for response in operation["responses"].values()
        for content in response.get("content", {}).values()
        for code in content.get("examples", {})
    }
