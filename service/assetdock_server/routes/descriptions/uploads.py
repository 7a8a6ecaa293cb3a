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
    description="Reserves an asset and returns an upload target. Send the bytes with the method, URL and headers in "
    "`upload`. Storage rejects bytes that do not match the reservation. No call is needed after the upload: the "
    "service detects that the bytes have landed. The duration is measured from the bytes. Unknown fields, such as "
    "`duration_seconds` from old clients, are ignored.",
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
    summary="Renew an upload URL",
    description="Returns a new URL and a new upload window for an asset that is still `pending_upload`, up to 24 "
    "hours after its creation. Earlier URLs stay valid until their own expiry. The body is optional.",
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
    summary="Confirm an upload",
    description="Returns the asset when its bytes have landed. The call is optional, changes nothing, and can be "
    "repeated. Fails with `upload_incomplete` while the bytes can still land, and with `upload_expired` when they no "
    "longer can.",
    response=AssetSummary,
    example=READY,
    errors=("upload_incomplete", "upload_expired"),
)
