"""The catalogue of errors: every error code, with its HTTP status and default message.

`assetdock_private.errors` lists the codes that SQL raises, with more precise messages. A test compares both lists.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True)
class Kind:
    """The HTTP status of a code, and its default message."""

    status: int
    message: str


CATALOGUE: Final[Mapping[str, Kind]] = {
    "bad_request": Kind(400, "The request is malformed."),
    "unauthenticated": Kind(
        401, "The credential is missing, invalid or expired. Sign in again, or use another API key."
    ),
    "forbidden": Kind(403, "This caller is not allowed to do this."),
    "storage_quota_exceeded": Kind(
        403, "The storage quota of this owner is full. Delete assets, or ask the operator for a larger quota."
    ),
    "insufficient_scope": Kind(403, "This credential lacks a scope that the request needs."),
    "not_found": Kind(404, "This resource does not exist, or it belongs to another owner."),
    "method_not_allowed": Kind(
        405, "This path does not support this method. The Allow header lists the supported methods."
    ),
    "conflict": Kind(409, "The request conflicts with the current state."),
    "asset_type_not_uploadable": Kind(
        409, "Processors create assets of this type. To upload one, use a credential with the scope assets:produce."
    ),
    "upload_incomplete": Kind(409, "The bytes have not landed yet. Finish the upload, then ask again."),
    "asset_not_pending": Kind(409, "Only an asset in state pending_upload can get a new upload URL."),
    "idempotency_conflict": Kind(
        409, "This Idempotency-Key was used for a different request in the last 24 hours. Use a new key."
    ),
    "asset_purged": Kind(410, "The bytes of this asset are deleted, or are being deleted. Upload them as a new asset."),
    "upload_expired": Kind(410, "The upload window has closed, and the asset accepts no bytes. Reserve a new asset."),
    "body_too_large": Kind(413, "The request body is larger than 65536 bytes. Send media to the upload URL instead."),
    "asset_too_large": Kind(413, "The file is larger than the limit."),
    "unsupported_media_type": Kind(415, "The request body must be JSON, with Content-Type: application/json."),
    "validation_error": Kind(422, 'Some fields are invalid; see "fields".'),
    "too_many_pending_uploads": Kind(
        429, "Too many uploads are pending. Finish or delete some, or wait until their windows close."
    ),
    "rate_limited": Kind(429, "Too many requests. Retry after the time in Retry-After."),
    "internal_error": Kind(500, "An unexpected error occurred. Retry. If it happens again, report the request_id."),
    "upstream_error": Kind(502, "An upstream server sent an invalid response. Retry later."),
    "upstream_unavailable": Kind(503, "An upstream server cannot be reached. Retry in a few seconds."),
    "upstream_timeout": Kind(
        504, "An upstream server did not respond in time. The request may have succeeded. Retry it."
    ),
}


@dataclass(frozen=True)
class Field:
    """One invalid input: its location (`body.type`, `query.limit`) and what is expected."""

    field: str
    message: str


@dataclass
class ApiError(Exception):
    """An error response. `code` is a key of CATALOGUE; `message` overrides its default message."""

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
        """The message for the caller."""
        return self.message or CATALOGUE[self.code].message


class Unauthenticated(ApiError):
    """401 with a Bearer challenge (RFC 6750, section 3). `reason` is an error code of section 3.1."""

    def __init__(self, description: str, reason: str = "invalid_token") -> None:
        super().__init__(
            "unauthenticated",
            description,
            headers={"WWW-Authenticate": f'Bearer error="{reason}", error_description="{description}"'},
        )
