"""API keys."""

from typing import Annotated, Literal

from pydantic import Field

from assetdock_server.identity.api_key import PATTERN, PREFIX
from assetdock_server.routes.schemas.types import Id, Instant, Schema, text

Scope = Literal[
    "assets:read", "assets:write", "assets:produce", "api_keys:read", "api_keys:write", "webhooks:read",
    "webhooks:write",
]  # fmt: skip
Prefix = Annotated[str, text(rf"^{PREFIX}[0-9A-Za-z]{{8}}$")]
Plaintext = Annotated[str, text(f"^{PATTERN.pattern}$")]


class ApiKey(Schema):
    """An API key without its secret."""

    id: Id
    name: str
    prefix: Prefix = Field(description="The public first characters of the key.")
    scopes: list[Scope]
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None = Field(description="Accurate to one minute.")
    revoked_at: Instant | None
    created_by: str = Field(description="`session`, or the prefix of the key that created or rotated this one.")


class NewApiKey(ApiKey):
    """A new API key. Only this response contains `plaintext`; it is stored nowhere."""

    plaintext: Plaintext


class ApiKeys(Schema):
    """All API keys, oldest first, including revoked ones."""

    items: list[ApiKey]
