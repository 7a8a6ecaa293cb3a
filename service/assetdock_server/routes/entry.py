"""What the URL table says about one method on one path: who may call it, and all that a caller needs to know."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel
from starlette.responses import Response

from assetdock_server.routes.schemas.api_keys import Scope

# Takes the request, and its Principal too where the route is not public.
Handler = Callable[..., Awaitable[Response]]
Access = Literal["public", Scope]
Tag = Literal["Uploads", "Assets", "API keys", "Webhooks", "Operations", "Documents"]

JSON = "application/json"
# What the form of a route makes possible, whatever it does.
OF_ANY_CALLER = (
    "unauthenticated", "insufficient_scope", "rate_limited", "upstream_error", "upstream_unavailable",
    "upstream_timeout",
)  # fmt: skip
OF_ANY_REQUEST = ("internal_error", "body_too_large")
OF_A_BODY = ("bad_request", "unsupported_media_type", "validation_error")
OF_A_KEY = ("validation_error", "idempotency_conflict")


@dataclass(frozen=True)
class Operation:
    """The documentation of a route. `example` is a real answer: a model's fields, or the text of another media type.

    `errors` are the codes beyond those that follow from the route's form; `Entry.errors` has them all.
    """

    id: str
    tag: Tag
    summary: str
    description: str
    example: Any = None
    answer: type[BaseModel] | None = None
    status: int = 200
    media_type: str = JSON
    other_media_types: tuple[str, ...] = ()  # that the same answer can have
    body: type[BaseModel] | None = None
    body_required: bool = True
    body_example: Mapping[str, Any] | None = None
    query: type[BaseModel] | None = None
    query_example: Mapping[str, str] = field(default_factory=dict)
    path_parameters: Mapping[str, Any] = field(default_factory=dict)  # of those that are no ids: name -> JSON schema
    takes_idempotency_key: bool = False
    has_location: bool = False
    makes: tuple[str, str] | None = None  # (path parameter, JSON pointer): what of the answer leads to other operations
    is_revalidated: bool = False  # has an ETag, and answers If-None-Match with 304
    errors: tuple[str, ...] = ()
    # Answers of other statuses that are no errors of ours: (status, description, model, example).
    others: tuple[tuple[int, str, type[BaseModel], Any], ...] = ()


@dataclass(frozen=True)
class Entry:
    """One method on one path. `access` is the scope that the caller needs: unless it says `public`, nobody reaches the
    handler without a credential.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    operation: Operation

    @property
    def errors(self) -> set[str]:
        """Every code that this route can answer with."""
        codes = {*OF_ANY_REQUEST, *self.operation.errors}
        if self.access != "public":
            codes.update(OF_ANY_CALLER)
        if self.operation.body:
            codes.update(OF_A_BODY)
        if self.operation.query:
            codes.add("validation_error")
        if self.operation.takes_idempotency_key:
            codes.update(OF_A_KEY)
        if "_id}" in self.path:
            codes.add("not_found")
        return codes
