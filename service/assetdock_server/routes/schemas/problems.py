"""Errors."""

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from assetdock_server.routes.schemas.types import Schema, without_default


class InvalidField(Schema):
    """One invalid input."""

    field: str = Field(description="Its location: `body.type`, `query.limit`, `header.idempotency-key`.")
    message: str = Field(description="What is expected.")


class ErrorBody(Schema):
    """What happened, and what to do next."""

    code: str = Field(description="For programs. Its meaning never changes.")
    message: str = Field(description="For people. The wording can change.")
    fields: list[InvalidField] | SkipJsonSchema[None] = Field(
        default=None, description="Only with `validation_error`.", json_schema_extra=without_default
    )


class ErrorResponse(Schema):
    """The body of every error response."""

    error: ErrorBody
    request_id: str = Field(description="The value of X-Request-Id. Include it when you report a problem.")
