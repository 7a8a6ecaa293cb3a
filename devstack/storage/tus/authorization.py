"""Authorization of requests to resumable uploads. Every request is authorized anew."""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request

from devstack.storage.backend import Backend
from devstack.storage.database import Operation
from devstack.storage.errors import invalid_signature
from devstack.storage.names import require_bucket_name, require_key
from devstack.storage.tus.protocol import not_found
from devstack.storage.uploads import Target

Action = Literal["create", "part", "get", "delete"]


@dataclass(frozen=True)
class UploadLocation:
    """The last segment of an upload's URL: `bucket/name/version` in base64url.

    Raises StorageError for an invalid bucket name or object name.
    """

    bucket_id: str
    name: str
    version: str

    def __post_init__(self) -> None:
        require_bucket_name(self.bucket_id)
        require_key(self.name)

    @classmethod
    def decode(cls, encoded: str) -> "UploadLocation":
        """Raises TusError 404 for text that is not base64url."""
        try:
            text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            raise not_found() from None
        bucket_id, _, rest = text.partition("/")
        name, _, version = rest.rpartition("/")
        return cls(bucket_id, name, version)

    def encode(self) -> str:
        text = f"{self.bucket_id}/{self.name}/{self.version}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Authorization:
    """The owner of the bytes, and the operation as Storage names it."""

    owner: str | None
    operation: Operation


async def authorize_by_token(
    backend: Backend, request: Request, location: UploadLocation, action: Action
) -> Authorization:
    """Accepts the token of a signed upload URL until it expires. Its claim `upsert` is ignored, as on the real
    Storage.
    """
    token = request.headers.get("x-signature")
    if not token:
        raise invalid_signature("Missing x-signature header")
    claims = backend.signed_urls.verify(token, f"{location.bucket_id}/{location.name}", "upload")
    return Authorization(claims.get("owner"), Operation.of(request, f"tus.upload.{action}_signed"))


async def authorize_by_policies(
    backend: Backend, request: Request, location: UploadLocation, action: Action
) -> Authorization:
    """Requires the user's own token and, except for `get`, permission by the policies on storage.objects."""
    caller, operation = backend.caller(request), Operation.of(request, f"tus.upload.{action}")
    if action != "get":
        upsert = request.headers.get("x-upsert") == "true"
        target = Target(location.bucket_id, location.name, caller.sub, upsert)
        await backend.uploads.check_permission(caller, operation, target, {})
    return Authorization(caller.sub, operation)
