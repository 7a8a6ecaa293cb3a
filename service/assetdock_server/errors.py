"""The catalogue of errors: every code a response can carry, with its status.

Codes that SQL raises stand in `assetdock_private.errors` as well, with the sentence a caller reads; a test compares both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Kind:
    """One code: its HTTP status and the message used when nothing more precise is known."""

    status: int
    message: str


CATALOGUE: Final[Mapping[str, Kind]] = {
    "bad_request": Kind(400, "The request could not be understood."),
    "unauthenticated": Kind(401, "The credential is not, or no longer, valid. Sign in again or use another API key."),
    "forbidden": Kind(403, "This caller may not do that."),
    "storage_quota_exceeded": Kind(403, "This owner has no room left. Delete assets, or ask for more."),
    "insufficient_scope": Kind(403, "This credential lacks a scope that the call needs."),
    "not_found": Kind(404, "There is nothing here, or it belongs to someone else."),
    "method_not_allowed": Kind(405, "This path does not take that method; see the Allow header."),
    "conflict": Kind(409, "The change does not fit the present state."),
    "asset_type_not_uploadable": Kind(
        409, "Assets of this type are made by processors; uploading one needs the scope assets:produce."
    ),
    "upload_incomplete": Kind(409, "The bytes are not there yet. Finish the upload, then ask again."),
    "asset_not_pending": Kind(409, "Only an asset that is still pending_upload gets a new upload URL."),
    "idempotency_conflict": Kind(
        409, "This Idempotency-Key was used for a different request in the last 24 hours. Use a new key."
    ),
    "asset_purged": Kind(410, "The bytes are gone, or about to be. Upload them as a new asset."),
    "upload_expired": Kind(410, "The upload window has closed and nothing can land any more. Reserve a new asset."),
    "body_too_large": Kind(413, "A request body may have 65536 bytes. Media goes to the upload URL, not here."),
    "asset_too_large": Kind(413, "Larger than an asset may be."),
    "unsupported_media_type": Kind(415, "Send JSON, with Content-Type: application/json."),
    "validation_error": Kind(422, 'Some fields are not valid; see "fields".'),
    "too_many_pending_uploads": Kind(429, "Too many uploads wait for their bytes. Finish or delete some, or wait."),
    "rate_limited": Kind(429, "Too many requests. Wait for as long as Retry-After says."),
    "internal_error": Kind(500, "Something broke on our side. Report the request_id if it happens again."),
    "upstream_error": Kind(502, "A server behind this one gave an answer that makes no sense. Try again later."),
    "upstream_unavailable": Kind(503, "A server behind this one cannot be reached. Try again shortly."),
    "upstream_timeout": Kind(504, "A server behind this one took too long. Try again."),
}


@dataclass(frozen=True)
class Field:
    """One invalid input: where it stands (`body.type`, `query.limit`) and what would be right."""

    field: str
    message: str


@dataclass
class ApiError(Exception):
    """An answer that is an error. `code` is one of CATALOGUE; `message` overrides its general sentence."""

    code: str
    message: str | None = None
    fields: list[Field] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.code)

    @property
    def status(self) -> int:
        """The HTTP status of the code."""
        return CATALOGUE[self.code].status

    @property
    def text(self) -> str:
        """What the caller reads."""
        return self.message or CATALOGUE[self.code].message


class Unauthenticated(ApiError):
    """401, with the challenge of RFC 6750 section 3. `reason` is one of its error codes."""

    def __init__(self, description: str, reason: str = "invalid_token") -> None:
        super().__init__(
            "unauthenticated",
            description,
            headers={"WWW-Authenticate": f'Bearer error="{reason}", error_description="{description}"'},
        )
