"""Signed URLs from Supabase Storage, asked for as the caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import structlog
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError
from storage3.utils import StorageException

from service.errors import ApiError, Unauthenticated
from service.gateways.pool import attempt, unavailable

T = TypeVar("T")
DOWNLOAD_SECONDS = 900

log = structlog.get_logger()


@dataclass(frozen=True)
class SignedUrl:
    """A URL that needs no other credential until `expires_at`, which its `token` says itself."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime


class Storage:
    """Asks for signed URLs. Storage's own policies decide, with the caller's token."""

    def __init__(self, pool: httpx.AsyncClient, *, url: str, publishable_key: str) -> None:
        self._pool = pool
        self._url = url
        self._publishable_key = publishable_key

    @property
    def resumable_url(self) -> str:
        """Where an upload in parts (TUS) begins, with a signed URL's token in `x-signature`."""
        return f"{self._url}upload/resumable/sign"

    async def sign_upload(self, token: str, bucket: str, name: str) -> SignedUrl:
        """A URL for one upload of this object. Raises ApiError `conflict` when the object can't be uploaded."""
        signed = await self._ask(
            lambda: self._client(token).from_(bucket).create_signed_upload_url(name), "sign_upload"
        )
        return _signed(signed["signed_url"])

    async def sign_download(self, token: str, bucket: str, name: str) -> SignedUrl | None:
        """A URL for reading this object for 15 minutes; None when it is not there, or hidden from the caller."""
        try:
            signed = await self._ask(
                lambda: self._client(token).from_(bucket).create_signed_url(name, DOWNLOAD_SECONDS),
                "sign_download",
            )
        except ApiError as error:
            if error.code == "not_found":
                return None
            raise
        return _signed(str(signed["signedURL"]))

    async def remove(self, token: str, bucket: str, name: str) -> None:
        """Asks Storage to delete an object. Returns whether or not it did: Storage answers both alike."""
        await self._ask(lambda: self._client(token).from_(bucket).remove([name]), "remove")

    async def check(self) -> None:
        """Returns when Storage answers."""
        await attempt(
            lambda: self._pool.get(f"{self._url}status"), server="storage", operation="status", idempotent=True
        )

    def _client(self, token: str) -> AsyncStorageClient:
        headers = {"apikey": self._publishable_key, "Authorization": f"Bearer {token}"}
        return AsyncStorageClient(self._url, headers, http_client=self._pool)

    async def _ask(self, call: Callable[[], Awaitable[T]], operation: str) -> T:
        try:
            return await attempt(call, server="storage", operation=operation, idempotent=True)
        except StorageApiError as error:
            raise translated(error, operation) from error
        except (StorageException, KeyError, ValueError) as error:
            log.error("storage_answer_unreadable", operation=operation, error=type(error).__name__)
            raise ApiError("upstream_error") from error


def translated(error: StorageApiError, operation: str) -> ApiError:
    """The ApiError that a refusal by Storage amounts to. Its status stands in the body, as a string."""
    status = str(error.status)
    if status == "404":
        return ApiError("not_found")
    if status == "409":
        return ApiError("conflict", "The bytes of this asset are already there.")
    if status == "403" and '"exp" claim' in error.message:
        return Unauthenticated("The session has expired. Refresh it")
    if status == "403":
        return ApiError("conflict", "This upload cannot be started any more. Reserve a new asset.")
    if status in ("500", "503"):
        return unavailable()
    if status == "544":
        return ApiError("upstream_timeout")
    log.error("storage_error", operation=operation, status=status, code=error.code, message=error.message)
    return ApiError("upstream_error")


def _signed(url: str) -> SignedUrl:
    token = parse_qs(urlsplit(url).query)["token"][0]
    # Not verified: Storage signed it for Storage. We only tell the caller what it says.
    claims = jwt.decode(token, options={"verify_signature": False})
    return SignedUrl(url, token, datetime.fromtimestamp(claims["exp"], UTC))
