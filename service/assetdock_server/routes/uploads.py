"""Reserving an upload, renewing its URL, and confirming it."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.gateways.results import LandedReservation, Reservation
from assetdock_server.gateways.storage import SignedUrl
from assetdock_server.identity.principal import Principal
from assetdock_server.routes.fields import (
    AssetType,
    ContentType,
    Filename,
    Metadata,
    Sha256,
    Size,
    SourceAssetId,
    UploadWindow,
)
from assetdock_server.routes.parsing import Input, idempotency_key, path_id, read_body, read_optional_body
from assetdock_server.routes.resources import resources
from assetdock_server.routes.responses import json_response, rfc3339

BASE = "/api/v1/assets"
CHUNK_SIZE = 6 * 1024 * 1024  # required by Supabase Storage; only the last chunk may be smaller


class UploadRequest(Input):
    """Body of POST /assets/upload-url. The database checks the rules of each field."""

    type: AssetType
    content_type: ContentType | None = None
    filename: Filename | None = None
    size_bytes: Size | None = None
    sha256: Sha256 | None = None
    metadata: Metadata | None = None
    expires_in: UploadWindow | None = None
    source_asset_id: SourceAssetId | None = None


class RenewalRequest(Input):
    """Body of POST /assets/{id}/upload-url, which is optional."""

    expires_in: UploadWindow | None = None


async def create_upload_url(request: Request, principal: Principal) -> Response:
    """POST /assets/upload-url: reserves an asset and returns its upload target."""
    payload = read_body(request, UploadRequest)
    reservation = await resources(request).database.create_upload(
        principal.token, payload.model_dump(exclude_unset=True), idempotency_key(request)
    )
    request.state.log_ids = {"asset_id": reservation["asset"]["id"]}
    response = await _with_target(request, principal, reservation)
    return json_response(response, 201, {"Location": f"{BASE}/{response['asset']['id']}"})


async def renew_upload_url(request: Request, principal: Principal) -> Response:
    """POST /assets/{id}/upload-url: a new target and window for an asset in pending_upload."""
    payload = read_optional_body(request, RenewalRequest)
    reservation = await resources(request).database.renew_upload(
        principal.token, path_id(request, "asset_id"), payload.model_dump(exclude_none=True)
    )
    return json_response(await _with_target(request, principal, reservation))


async def confirm(request: Request, principal: Principal) -> Response:
    """POST /assets/{id}/confirm: whether the bytes have landed."""
    return json_response(
        await resources(request).database.confirm_upload(principal.token, path_id(request, "asset_id"))
    )


async def _with_target(
    request: Request, principal: Principal, reservation: Reservation | LandedReservation
) -> dict[str, Any]:
    if reservation["upload_expires_at"] is None:  # a repeated request (Idempotency-Key) after the bytes have landed
        return {"asset": reservation["asset"], "upload": None}
    storage = resources(request).storage
    signed = await storage.sign_upload(principal.token, reservation["bucket"], reservation["object_name"])
    return {"asset": reservation["asset"], "upload": upload_target(reservation, signed, storage.resumable_url)}


def upload_target(reservation: Reservation, signed: SignedUrl, resumable_url: str) -> dict[str, Any]:
    """How to upload the bytes, whole or in chunks. It expires with the window or the URL's token."""
    content_type = reservation["asset"]["content_type"]
    return {
        "method": "PUT",
        "url": signed.url,
        "headers": {"Content-Type": content_type} if content_type else {},
        "expires_at": rfc3339(min(reservation["upload_expires_at"], signed.expires_at)),
        "resumable": _resumable(reservation, signed, resumable_url),
    }


def _resumable(reservation: Reservation, signed: SignedUrl, url: str) -> dict[str, Any]:
    """The same upload in chunks (TUS 1.0.0). `metadata` must be sent unchanged: Storage checks the content type."""
    content_type = reservation["asset"]["content_type"]
    metadata = {"bucketName": reservation["bucket"], "objectName": reservation["object_name"]}
    return {
        "protocol": "tus",
        "version": "1.0.0",
        "url": url,
        "headers": {"x-signature": signed.token},
        "metadata": {**metadata, "contentType": content_type} if content_type else metadata,
        "chunk_size": CHUNK_SIZE,
    }
