"""Documentation of the routes in routes/uploads.py."""

from assetdock_server.routes.descriptions.examples import READY, RESERVED, TARGET
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.assets import AssetSummary
from assetdock_server.routes.schemas.uploads import Reservation
from assetdock_server.routes.uploads import RenewalRequest, UploadRequest

CREATE_UPLOAD_URL = Operation(
    id="create_upload_url",
    tag="Uploads",
    summary="Create an upload URL",
    description="Reserves an asset and answers with where to push its bytes. Push them with the method, URL and "
    "headers in `upload`; Storage refuses bytes that are not what was reserved. Nothing has to be called afterwards: "
    "landing is noticed by itself. The duration is measured from the bytes and never taken from the caller; unknown "
    "fields, such as `duration_seconds` from old clients, are ignored.",
    status=201,
    response=Reservation,
    example={"asset": RESERVED, "upload": TARGET},
    body=UploadRequest,
    body_example={"type": "audio", "content_type": "audio/mpeg"},
    takes_idempotency_key=True,
    has_location=True,
    creates=("asset_id", "/asset/id"),
    errors=(
        "storage_quota_exceeded", "asset_type_not_uploadable", "conflict", "upload_expired", "asset_not_pending",
        "asset_too_large", "too_many_pending_uploads", "not_found",
    ),
)  # fmt: skip

RENEW_UPLOAD_URL = Operation(
    id="renew_upload_url",
    tag="Uploads",
    summary="Get a fresh upload URL",
    description="A new URL and a new window for an asset that is still `pending_upload`, up to 24 hours after its "
    "creation. URLs that were handed out before keep working for as long as they said. The body may be left out.",
    response=Reservation,
    example={"asset": RESERVED, "upload": TARGET},
    body=RenewalRequest,
    body_required=False,
    body_example={"expires_in": 900},
    errors=(
        "conflict",
        "asset_not_pending",
        "upload_expired",
        "storage_quota_exceeded",
        "too_many_pending_uploads",
    ),
)

CONFIRM_UPLOAD = Operation(
    id="confirm_upload",
    tag="Uploads",
    summary="Ask whether the bytes are there",
    description="The asset, once its bytes have landed. Changes nothing, so it may be left out and repeated. While "
    "the bytes may still come it is `upload_incomplete`; once nothing can land any more, `upload_expired`.",
    response=AssetSummary,
    example=READY,
    errors=("upload_incomplete", "upload_expired"),
)
