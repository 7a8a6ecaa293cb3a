"""For each error code: when it occurs, and what the client does next. docs/guides/errors.md has these texts, too."""

from collections.abc import Mapping
from typing import Final

CAUSES: Final[Mapping[str, str]] = {
    "bad_request": "the body is not a JSON object in UTF-8, or a cursor or header is malformed. Fix the request.",
    "unauthenticated": "the credential is missing, invalid or expired. Refresh the session or use another key.",
    "forbidden": "this kind of caller can never do this.",
    "storage_quota_exceeded": "the owner's storage quota is used up. Delete assets, or ask the operator for more.",
    "insufficient_scope": "the credential lacks the scope that the message names.",
    "not_found": "the resource does not exist, or it belongs to another owner.",
    "method_not_allowed": "the path does not support this method; `Allow` lists the methods that it supports.",
    "conflict": "the current state does not allow this change; the message says why.",
    "asset_type_not_uploadable": "uploading this type needs the scope `assets:produce`.",
    "upload_incomplete": "the bytes have not landed yet. Finish the upload, and retry after `Retry-After`.",
    "asset_not_pending": "the asset is no longer `pending_upload` and needs no upload URL.",
    "idempotency_conflict": "the Idempotency-Key was used for a different request in the last 24 hours. Use a new one.",
    "asset_purged": "the bytes are deleted or about to be deleted. Upload them as a new asset.",
    "upload_expired": "the upload window has closed and no bytes can land any more. Reserve a new asset.",
    "body_too_large": "a request body can have at most 65536 bytes. Send media to the upload URL.",
    "asset_too_large": "the size exceeds the limit for one asset of this owner.",
    "unsupported_media_type": "the request does not declare its body as `application/json`.",
    "validation_error": "some inputs are invalid; `fields` lists each of them. Fix the request.",
    "too_many_pending_uploads": "too many reservations are still `pending_upload`. Finish or delete some, or retry "
    "after `Retry-After`.",
    "rate_limited": "this owner sent too many requests. Retry after `Retry-After`.",
    "internal_error": "an error occurred in the service. Retry with the same Idempotency-Key, and report the "
    "`request_id`.",
    "upstream_error": "a server behind the service sent an invalid response. Retry later.",
    "upstream_unavailable": "a server behind the service is unreachable. Retry after `Retry-After`.",
    "upstream_timeout": "a server behind the service took too long; the request may have succeeded. Retry with the "
    "same Idempotency-Key.",
}
