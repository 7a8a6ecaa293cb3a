"""The asset, upload target and API key that every example shows."""

from typing import Any

ASSET_ID = "019de7e5-d507-74d1-9eeb-323e0bfb7bb9"
API_KEY_ID = "019de7e4-051c-7c3e-8f4b-0d6a52e1c7b4"
WEBHOOK_ENDPOINT_ID = "019de7e4-6c76-7d0b-a2c1-5e4f6b7a8c9d"
DELIVERY_ID = "019de7e6-01cb-7b52-8d3e-1f2a3b4c5d6e"
URL = "https://example.supabase.co/storage/v1/object"
CREATED_AT = "2026-05-02T08:54:52.423000Z"
LANDED_AT = "2026-05-02T08:55:03.118204Z"
READY_AT = "2026-05-02T08:55:03.883077Z"

RESERVED: dict[str, Any] = {
    "id": ASSET_ID,
    "type": "audio",
    "state": "pending_upload",
    "size_bytes": None,
    "content_type": "audio/mpeg",
    "declared_content_type": "audio/mpeg",
    "duration_seconds": None,
    "created_at": CREATED_AT,
    "filename": None,
    "metadata": {},
    "source_asset_id": None,
    "error_code": None,
    "error_message": None,
    "media": None,
    "ready_at": None,
    "deleted_at": None,
}
PROCESSING: dict[str, Any] = {**RESERVED, "state": "processing", "size_bytes": 201082}
READY: dict[str, Any] = {
    **PROCESSING,
    "state": "ready",
    "duration_seconds": "12.514",
    "media": {
        "container": "mp3",
        "bit_rate": 128548,
        "streams": [
            {
                "kind": "audio",
                "codec": "mp3",
                "channels": 1,
                "sample_rate": 44100,
                "channel_layout": "mono",
                "bit_rate": 128000,
            }
        ],
    },
    "ready_at": READY_AT,
}
TARGET: dict[str, Any] = {
    "method": "PUT",
    "url": f"{URL}/upload/sign/assets/{ASSET_ID}?token=eyJhbGciOi...",
    "headers": {"Content-Type": "audio/mpeg"},
    "expires_at": "2026-05-02T09:09:52.423000Z",
    "resumable": {
        "protocol": "tus",
        "version": "1.0.0",
        "url": "https://example.supabase.co/storage/v1/upload/resumable/sign",
        "headers": {"x-signature": "eyJhbGciOi..."},
        "metadata": {"bucketName": "assets", "objectName": ASSET_ID, "contentType": "audio/mpeg"},
        "chunk_size": 6291456,
    },
}
KEY: dict[str, Any] = {
    "id": API_KEY_ID,
    "name": "ci",
    "prefix": "rk_live_aB3xK9mN",
    "scopes": ["assets:read", "assets:write"],
    "created_at": "2026-05-02T08:52:53.660000Z",
    "expires_at": None,
    "last_used_at": None,
    "revoked_at": None,
    "created_by": "session",
}
PLAINTEXT = "rk_live_aB3xK9mNQ7vT2wYc5LdR8sHfJ4pGzE6uXbVn1kZi2yO3aF"
