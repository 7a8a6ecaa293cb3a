"""Calls Supabase Storage with the caller's token: signed URLs, deletion, health."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from storage3 import AsyncStorageClient

from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import Pool, attempt, received
from assetdock_server.gateways.refused_tokens import RefusedTokenError, call_with
from assetdock_server.gateways.results import REMOVED_OBJECTS, SIGNED_DOWNLOAD, SIGNED_UPLOAD
from assetdock_server.gateways.upstream_responses import (
    read_failure,
    read_result,
    temporary_failure,
    unavailable,
)
from assetdock_server.identity.minting import Minter

T = TypeVar("T")
Send = Callable[[str], Awaitable[tuple[int, bytes]]]

DOWNLOAD_SECONDS = 900
DOWNLOAD_OPTIONS = orjson.dumps({"expiresIn": DOWNLOAD_SECONDS})
# Storage reports a refused token as 403 with the message of the library that verified it (jose; jsonwebtoken before).
# A policy that rejects the caller has the same status.
REFUSED_TOKEN = re.compile(
    r'" claim|signature verification failed|no applicable key|multiple matching keys|compact jws|jws protected header'
    r'|"alg"|^invalid (signature|algorithm|token|jwt)|^jwt ',
    re.IGNORECASE,
)

STATUS = re.compile(r"[1-5][0-9]{2}")
VERSION = re.compile(r"v?([0-9]{1,5})\.([0-9]{1,5})\.([0-9]{1,5})")
MINIMUM_VERSION = (1, 41, 0)  # the oldest that was run
RECOMMENDED_VERSION = (1, 58, 20)  # older ones do not pass on the text of a refusal

log = structlog.get_logger()


class StorageError(BaseModel):
    """The body of an error of Storage. Its status, as a string, differs from the status of the response."""

    model_config = ConfigDict(strict=True)

    message: str
    error: str | None = None
    status: str | int = Field(alias="statusCode")


STORAGE_ERROR = TypeAdapter(StorageError)


@dataclass(frozen=True)
class SignedUrl:
    """A URL that needs no other credential until `expires_at`, the `exp` of its `token`."""

    url: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: datetime


class StorageTooOldError(ApiError):
    """This version of storage-api refuses uploads that were reserved."""

    readiness = "storage_too_old"

    def __init__(self) -> None:
        super().__init__("upstream_error")


class Storage:
    """The Storage API. Storage's policies decide what the caller's token may do.

    `url` is where this process calls the API, `bytes_url` where the holder of a signed URL does, if it is another one.
    `minter` mints the tokens for API keys. Without it, every token is the worker's.
    """

    def __init__(
        self, pool: Pool, *, url: str, publishable_key: str, bytes_url: str | None = None, minter: Minter | None = None
    ) -> None:
        self._pool = pool
        self._minter = minter
        self._url = url
        self._bytes_url = bytes_url or url
        self._server = pool.server(url)
        self._publishable_key = publishable_key
        self.version: str | None = None  # of storage-api, once `check` has found it

    @property
    def resumable_url(self) -> str:
        """The URL where a resumable upload (TUS) starts. It takes the token of a signed URL in `x-signature`."""
        return f"{self._bytes_url}upload/resumable/sign"

    async def sign_upload(self, token: str, bucket: str, name: str) -> SignedUrl:
        """A URL for one upload of this object. Raises ApiError `conflict` if the object can't be uploaded."""
        path = f"object/upload/sign/{bucket}/{name}"
        return await self._call(
            lambda token: self._server.post(path, b"{}", self._headers(token)),
            lambda status, body: self._signed(read_result(SIGNED_UPLOAD, status, body, "sign_upload")["url"]),
            "sign_upload",
            token,
        )

    async def sign_download(self, token: str, bucket: str, name: str) -> SignedUrl | None:
        """A URL for reading this object for 15 minutes. None if the caller can't see such an object."""
        path = f"object/sign/{bucket}/{name}"
        try:
            return await self._call(
                lambda token: self._server.post(path, DOWNLOAD_OPTIONS, self._headers(token)),
                lambda status, body: self._signed(
                    read_result(SIGNED_DOWNLOAD, status, body, "sign_download")["signedURL"]
                ),
                "sign_download",
                token,
            )
        except ApiError as error:
            if error.code == "not_found":
                return None
            raise

    async def remove(self, token: str, bucket: str, name: str) -> None:
        """Asks Storage to delete an object. Storage's response does not tell whether it did."""

        def send(token: str) -> Awaitable[tuple[int, bytes]]:
            client = AsyncStorageClient(self._url, self._headers(token), http_client=self._pool.supabase)
            return received(lambda: client.from_(bucket).remove([name]))

        await self._call(
            send, lambda status, body: read_result(REMOVED_OBJECTS, status, body, "remove"), "remove", token
        )

    async def check(self) -> None:
        """Returns if Storage reports that it is healthy. Raises ApiError."""
        headers = {"apikey": self._publishable_key}

        async def ask() -> None:
            status, _ = await received(lambda: self._pool.supabase.get(f"{self._url}status", headers=headers))
            if not 200 <= status < 300:
                raise temporary_failure(status) or ApiError("upstream_error")

        await attempt(ask, server="storage", operation="status", idempotent=True)
        if self.version is None:
            await self._find_version()
        if (found := _numbers(self.version)) and found < MINIMUM_VERSION:
            raise StorageTooOldError

    async def _find_version(self) -> None:
        """Asks once for the version. A gateway may not pass the request on; then the version stays unknown."""
        headers = {"apikey": self._publishable_key}

        async def ask() -> tuple[int, bytes]:
            return await received(lambda: self._pool.supabase.get(f"{self._url}version", headers=headers))

        try:
            status, body = await attempt(ask, server="storage", operation="version", idempotent=False)
        except ApiError:
            return
        found = _numbers(body[:32].decode("ascii", "replace")) if status == 200 else None
        if found is None:
            return
        self.version = ".".join(map(str, found))
        if found < RECOMMENDED_VERSION:
            log.warning("storage_api_is_old", version=self.version, recommended="1.58.20", minimum="1.41.0")

    def _call(self, send: Send, read: Callable[[int, bytes], T], operation: str, token: str) -> Awaitable[T]:
        """What `read` makes of a successful response. Every call can be repeated."""

        def once(token: str) -> Awaitable[T]:
            async def judged() -> T:
                status, body = await send(token)
                if 200 <= status < 300:
                    return read(status, body)
                raise translated(status, body, operation)

            return attempt(judged, server="storage", operation=operation, idempotent=True)

        return call_with(token, once, self._minter)

    def _signed(self, path: str) -> SignedUrl:
        """The path starts at `/object`."""
        token = path.partition("token=")[2].partition("&")[0]
        try:
            return SignedUrl(self._bytes_url + path.lstrip("/"), token, _expiry(token))
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            log.error("invalid_upstream_response", operation="sign", error=type(error).__name__)
            raise ApiError("upstream_error") from error

    def _headers(self, token: str) -> dict[str, str]:
        return {"apikey": self._publishable_key, "Authorization": f"Bearer {token}"}


def _numbers(version: str | None) -> tuple[int, int, int] | None:
    """The numbers of `1.58.20` or `v1.58.20`; None for other text and for 0.0.0, the version of an unreleased build."""
    match = VERSION.match(version or "")
    numbers = (int(match[1]), int(match[2]), int(match[3])) if match else (0, 0, 0)
    return numbers if any(numbers) else None


def translated(status: int, body: bytes, operation: str) -> ApiError:
    """The ApiError for a response of Storage that is not successful."""
    if temporary := temporary_failure(status):
        return temporary
    error = read_failure(STORAGE_ERROR, body)
    if error is None:
        log.error("invalid_upstream_response", operation=operation, status=status)
        return ApiError("upstream_error")
    meant = int(error.status) if STATUS.fullmatch(str(error.status)) else status
    if temporary := temporary_failure(meant):
        return temporary
    if meant == 404:
        return ApiError("not_found")
    if meant == 409 and operation == "sign_upload":
        return ApiError("conflict", "The bytes of this asset are already there.")
    if meant == 403 and REFUSED_TOKEN.search(error.message):
        return RefusedTokenError(error.message)
    if meant == 403 and operation == "sign_upload":
        return ApiError("conflict", "This upload cannot be started any more. Reserve a new asset.")
    if meant == 500:
        return unavailable()
    log.error("storage_error", operation=operation, status=meant, code=error.error, message=error.message)
    return ApiError("upstream_error")


def _expiry(token: str) -> datetime:
    # Not verified: only Storage has the key, and only Storage relies on it.
    payload = token.split(".")[1]
    claims = orjson.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return datetime.fromtimestamp(claims["exp"], UTC)
