"""Reservations and upload targets."""

from typing import Literal

from pydantic import Field

from assetdock_server.routes.schemas.assets import AssetSummary
from assetdock_server.routes.schemas.types import Instant, Schema, Url


class ResumableUpload(Schema):
    """The same upload in chunks. It can resume after a lost connection."""

    protocol: Literal["tus"]
    version: Literal["1.0.0"]
    url: Url
    headers: dict[str, str] = Field(description="Send these headers unchanged with every request.")
    metadata: dict[str, str] = Field(description="Send it unchanged. Storage rejects another content type.")
    chunk_size: int = Field(description="The size in bytes of every chunk except the last.")


class UploadTargetResponse(Schema):
    """How to upload the bytes: in one request with this method, URL and headers, or in chunks with a TUS client."""

    method: Literal["PUT"]
    url: Url = Field(description="A signed URL. It needs no credential and accepts one upload.")
    headers: dict[str, str] = Field(description="Send these headers unchanged.")
    expires_at: Instant = Field(description="The upload must start before this time.")
    resumable: ResumableUpload


class Reservation(Schema):
    """A reserved asset and its upload target."""

    asset: AssetSummary
    upload: UploadTargetResponse | None = Field(
        description="Null only when a request is repeated (Idempotency-Key) after the bytes have landed."
    )
