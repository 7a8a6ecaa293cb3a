"""One entry of the route table: a method on a path, its handler, its scope and its documentation."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from assetdock_server.routes.schemas.api_keys import Scope

# Takes the request, and its Principal too unless the route is public.
Handler = Callable[..., Awaitable[Response]]
Access = Literal["public", Scope]
Tag = Literal["Uploads", "Assets", "API keys", "Webhooks", "Operations", "Documents"]

JSON = "application/json"
# Errors that follow from the form of a route.
CREDENTIAL_ERRORS = (
    "unauthenticated", "insufficient_scope", "rate_limited", "upstream_error", "upstream_unavailable",
    "upstream_timeout",
)  # fmt: skip
GENERAL_ERRORS = ("internal_error", "body_too_large")
BODY_ERRORS = ("bad_request", "unsupported_media_type", "validation_error")
IDEMPOTENCY_ERRORS = ("validation_error", "idempotency_conflict")


@dataclass(frozen=True)
class Operation:
    """The documentation of a route. `example` is a real response: a model's fields, or text of another media type.

    `errors` lists the codes beyond those that follow from the form of the route; `Entry.errors` has all of them.
    """

    id: str
    tag: Tag
    summary: str
    description: str
    example: Any = None
    response: type[BaseModel] | None = None
    status: int = 200
    media_type: str = JSON
    other_media_types: tuple[str, ...] = ()  # further media types of the same response
    body: type[BaseModel] | None = None
    body_required: bool = True
    body_example: Mapping[str, Any] | None = None
    query: type[BaseModel] | None = None
    query_example: Mapping[str, str] = field(default_factory=dict)
    path_parameters: Mapping[str, Any] = field(default_factory=dict)  # those that are not ids: name -> JSON schema
    takes_idempotency_key: bool = False
    has_location: bool = False
    creates: tuple[str, str] | None = None  # (path parameter of other operations, JSON pointer into this response)
    has_etag: bool = False  # responds to a matching If-None-Match with 304
    errors: tuple[str, ...] = ()
    # Responses with other statuses that are not error responses: (status, description, model, example).
    other_responses: tuple[tuple[int, str, type[BaseModel], Any], ...] = ()


@dataclass(frozen=True)
class Entry:
    """One method on one path. `access` is the scope that the caller needs, or `public`."""

    method: str
    path: str
    handler: Handler
    access: Access
    operation: Operation

    @property
    def errors(self) -> set[str]:
        """Every error code that this route can respond with."""
        codes = {*GENERAL_ERRORS, *self.operation.errors}
        if self.access != "public":
            codes.update(CREDENTIAL_ERRORS)
        if self.operation.body:
            codes.update(BODY_ERRORS)
        if self.operation.query:
            codes.add("validation_error")
        if self.operation.takes_idempotency_key:
            codes.update(IDEMPOTENCY_ERRORS)
        if "_id}" in self.path:
            codes.add("not_found")
        return codes
