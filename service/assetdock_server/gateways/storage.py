"""Calls Supabase Storage with the caller's token: signed URLs, deletion, health."""

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
DOWNLOAD_OPTIONS = orjson.dumps({"expiresIn": DOWNLOAD_SECONDS})

log = structlog.get_logger()


@dataclass(frozen=True)
class SignedUrl:
    """A URL that needs no other credential until `expires_at`, the `exp` of its `token`."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime


class Storage:
    """The Storage API. Storage's policies decide what the caller's token may do."""

    def __init__(self, pool: Pool, *, url: str, publishable_key: str) -> None:
        self._pool = pool
        self._url = url
        self._server = pool.server(url)
        self._publishable_key = publishable_key

    @property
    def resumable_url(self) -> str:
        """The URL where a resumable upload (TUS) starts. It takes the token of a signed URL in `x-signature`."""
        return f"{self._url}upload/resumable/sign"

    async def sign_upload(self, token: str, bucket: str, name: str) -> SignedUrl:
        """A URL for one upload of this object. Raises ApiError `conflict` if the object can't be uploaded."""
        return await self._sign(token, f"object/upload/sign/{bucket}/{name}", b"{}", "sign_upload")

    async def sign_download(self, token: str, bucket: str, name: str) -> SignedUrl | None:
        """A URL for reading this object for 15 minutes. None if the caller can't see such an object."""
        try:
            return await self._sign(token, f"object/sign/{bucket}/{name}", DOWNLOAD_OPTIONS, "sign_download")
        except ApiError as error:
            if error.code == "not_found":
                return None
            raise

    async def remove(self, token: str, bucket: str, name: str) -> None:
        """Asks Storage to delete an object. Storage's response does not tell whether it did."""
        client = AsyncStorageClient(self._url, self._headers(token), http_client=self._pool.supabase)
        try:
            await attempt(
                lambda: client.from_(bucket).remove([name]), server="storage", operation="remove", idempotent=True
            )
        except StorageApiError as error:
            raise translated(error, "remove") from error
        except (StorageException, KeyError, ValueError) as error:
            raise _invalid_response("remove", error) from error

    async def check(self) -> None:
        """Returns if Storage reports that it is healthy. Raises ApiError."""
        headers = {"apikey": self._publishable_key}
        response = await attempt(
            lambda: self._pool.supabase.get(f"{self._url}status", headers=headers),
            server="storage",
            operation="status",
            idempotent=True,
        )
        if not response.is_success:
            raise ApiError("upstream_error")

    async def _sign(self, token: str, path: str, options: bytes, operation: str) -> SignedUrl:
        # Not through storage3: nearly every request signs a URL (see Pool).
        headers = self._headers(token)
        status, result = await attempt(
            lambda: self._server.post(path, options, headers),
            server="storage",
            operation=operation,
            idempotent=True,
        )
        try:
            if status == 200:
                return self._signed(result)
            failure = StorageApiError(result["message"], result["error"], result["statusCode"])
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise _invalid_response(operation, error) from error
        raise translated(failure, operation)

    def _signed(self, result: dict[str, str]) -> SignedUrl:
        """Storage names the URL of an upload `url`, of a download `signedURL`. Both start at `/object`."""
        path = result.get("url") or result["signedURL"]
        token = path.partition("token=")[2].partition("&")[0]
        return SignedUrl(self._url + path.lstrip("/"), token, _expiry(token))

    def _headers(self, token: str) -> dict[str, str]:
        return {"apikey": self._publishable_key, "Authorization": f"Bearer {token}"}


def _invalid_response(operation: str, error: Exception) -> ApiError:
    """502, for an invalid upstream response."""
    log.error("invalid_storage_response", operation=operation, error=type(error).__name__)
    return ApiError("upstream_error")


def translated(error: StorageApiError, operation: str) -> ApiError:
    """The ApiError for an error of Storage, whose body has the status as a string."""
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
    # Not verified: only Storage has the key, and only Storage relies on it.
    payload = token.split(".")[1]
    claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return datetime.fromtimestamp(claims["exp"], UTC)
