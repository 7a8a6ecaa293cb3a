"""For each code of the catalogue: when it happens, and what a client does about it."""

from collections.abc import Mapping
from typing import Final

CAUSES: Final[Mapping[str, str]] = {
    "bad_request": "the body is not a JSON object in UTF-8, or a cursor or header is malformed. Fix the request.",
    "unauthenticated": "no credential, or one that is not or no longer valid. Refresh the session or use another key.",
    "forbidden": "this kind of caller may not do that at all.",
    "storage_quota_exceeded": "the owner has no room left. Delete assets, or ask the operator for more.",
    "insufficient_scope": "the credential lacks the scope that the message names.",
    "not_found": "there is nothing here, or it belongs to someone else.",
    "method_not_allowed": "the path does not take this method; `Allow` says which it takes.",
    "conflict": "the change does not fit the present state; the message says why.",
    "asset_type_not_uploadable": "only holders of `assets:produce` may upload this type.",
    "upload_incomplete": "the bytes are not there yet. Finish the upload, and ask again after `Retry-After`.",
    "asset_not_pending": "the asset has its bytes, or is over, and needs no upload URL.",
    "idempotency_conflict": "the Idempotency-Key was used for a different request in the last 24 hours. Use a new one.",
    "asset_purged": "the bytes are gone, or about to be. Upload them as a new asset.",
    "upload_expired": "the window has closed and nothing can land any more. Reserve a new asset.",
    "body_too_large": "a request body may have 65536 bytes. Media goes to the upload URL.",
    "asset_too_large": "larger than an asset of this owner may be.",
    "unsupported_media_type": "the body is not declared as `application/json`.",
    "validation_error": "some inputs are wrong; `fields` names each of them. Fix the request.",
    "too_many_pending_uploads": "too many reservations wait for their bytes. Finish or delete some, or wait for "
    "`Retry-After`.",
    "rate_limited": "too many requests of this owner. Wait for `Retry-After`.",
    "internal_error": "something broke on our side. Repeat it with the same Idempotency-Key; report the `request_id`.",
    "upstream_error": "a server behind this one gave an answer that makes no sense. Repeat it later.",
    "upstream_unavailable": "a server behind this one cannot be reached. Repeat it after `Retry-After`.",
    "upstream_timeout": "a server behind this one took too long; the request may still have been done. Repeat it with "
    "the same Idempotency-Key.",
}
