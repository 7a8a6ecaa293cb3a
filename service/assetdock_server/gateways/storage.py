"""Signed URLs from Supabase Storage, asked for as the caller."""

from base64 import urlsafe_b64decode
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
import structlog
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError
from storage3.utils import StorageException

from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.gateways.pool import Pool, attempt, unavailable

DOWNLOAD_SECONDS = 900
DOWNLOAD_WISH = orjson.dumps({"expiresIn": DOWNLOAD_SECONDS})

log = structlog.get_logger()


@dataclass(frozen=True)
class SignedUrl:
    """A URL that needs no other credential until `expires_at`, which its `token` says itself."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime


class Storage:
    """Asks for signed URLs. Storage's own policies decide, with the caller's token."""

    def __init__(self, pool: Pool, *, url: str, publishable_key: str) -> None:
        self._pool = pool
        self._url = url
        self._publishable_key = publishable_key

    @property
    def resumable_url(self) -> str:
        """Where an upload in parts (TUS) begins, with a signed URL's token in `x-signature`."""
        return f"{self._url}upload/resumable/sign"

    async def sign_upload(self, token: str, bucket: str, name: str) -> SignedUrl:
        """A URL for one upload of this object. Raises ApiError `conflict` when the object can't be uploaded."""
        return await self._sign(token, f"object/upload/sign/{bucket}/{name}", b"{}", "sign_upload")

    async def sign_download(self, token: str, bucket: str, name: str) -> SignedUrl | None:
        """A URL for reading this object for 15 minutes; None when it is not there, or hidden from the caller."""
        try:
            return await self._sign(token, f"object/sign/{bucket}/{name}", DOWNLOAD_WISH, "sign_download")
        except ApiError as error:
            if error.code == "not_found":
                return None
            raise

    async def remove(self, token: str, bucket: str, name: str) -> None:
        """Asks Storage to delete an object. Returns whether or not it did: Storage answers both alike."""
        client = AsyncStorageClient(self._url, self._headers(token), http_client=self._pool.supabase)
        try:
            await attempt(
                lambda: client.from_(bucket).remove([name]), server="storage", operation="remove", idempotent=True
            )
        except StorageApiError as error:
            raise translated(error, "remove") from error
        except (StorageException, KeyError, ValueError) as error:
            raise unreadable("remove", error) from error

    async def check(self) -> None:
        """Returns when Storage says that it is well. Raises ApiError."""
        headers = {"apikey": self._publishable_key}
        answer = await attempt(
            lambda: self._pool.supabase.get(f"{self._url}status", headers=headers),
            server="storage",
            operation="status",
            idempotent=True,
        )
        if not answer.is_success:
            raise ApiError("upstream_error")

    async def _sign(self, token: str, path: str, wish: bytes, operation: str) -> SignedUrl:
        # Not through storage3: nearly every request signs something (see Pool).
        headers = self._headers(token)
        status, answer = await attempt(
            lambda: self._pool.post(self._url + path, wish, headers),
            server="storage",
            operation=operation,
            idempotent=True,
        )
        try:
            if status == 200:
                return self._signed(answer)
            refusal = StorageApiError(answer["message"], answer["error"], answer["statusCode"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise unreadable(operation, error) from error
        raise translated(refusal, operation)

    def _signed(self, answer: dict[str, str]) -> SignedUrl:
        """An upload's URL is called `url`, a download's `signedURL`; both lack what stands before `/object`."""
        path = answer.get("url") or answer["signedURL"]
        token = path.partition("token=")[2].partition("&")[0]
        return SignedUrl(self._url + path.lstrip("/"), token, _expiry(token))

    def _headers(self, token: str) -> dict[str, str]:
        return {"apikey": self._publishable_key, "Authorization": f"Bearer {token}"}


def unreadable(operation: str, error: Exception) -> ApiError:
    """An answer that is none of Storage's."""
    log.error("storage_answer_unreadable", operation=operation, error=type(error).__name__)
    return ApiError("upstream_error")


def translated(error: StorageApiError, operation: str) -> ApiError:
    """The ApiError that a refusal by Storage amounts to. Its status stands in the body, as a string."""
    status = str(error.status)
    if status == "404":
        return ApiError("not_found")
    if status == "409" and operation == "sign_upload":
        return ApiError("conflict", "The bytes of this asset are already there.")
    if status == "403" and '"exp" claim' in error.message:
        return Unauthenticated("The session has expired. Refresh it")
    if status == "403" and operation == "sign_upload":
        return ApiError("conflict", "This upload cannot be started any more. Reserve a new asset.")
    if status in ("500", "503"):
        return unavailable()
    if status == "544":
        return ApiError("upstream_timeout")
    log.error("storage_error", operation=operation, status=status, code=error.code, message=error.message)
    return ApiError("upstream_error")


def _expiry(token: str) -> datetime:
    # Not verified: Storage signed it for Storage. We only tell the caller what it says.
    payload = token.split(".")[1]
    claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return datetime.fromtimestamp(claims["exp"], UTC)
