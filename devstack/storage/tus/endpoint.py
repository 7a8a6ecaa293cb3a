"""The endpoints of resumable uploads, for a user's token and for the token of a signed upload URL."""

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import rows
from devstack.storage.backend import Backend
from devstack.storage.errors import StorageError
from devstack.storage.files import metadata_of
from devstack.storage.json_bodies import drain
from devstack.storage.rows import Row
from devstack.storage.tus import protocol
from devstack.storage.tus.authorization import Action, Authorization, UploadLocation
from devstack.storage.tus.locks import UploadLock, UploadLocks
from devstack.storage.tus.protocol import OFFSET_STREAM, Metadata, TusError, byte_count, tus_response
from devstack.storage.tus.upload_store import PartialUpload, UploadStore
from devstack.storage.upload_body import parse_user_metadata
from devstack.storage.uploads import Target, require_mime_type

Authorize = Callable[[Backend, Request, UploadLocation, Action], Awaitable[Authorization]]


class TusEndpoint:
    """/upload/resumable or /upload/resumable/sign: ``authorize`` differs, ``store`` and ``locks`` are shared."""

    def __init__(self, backend: Backend, store: UploadStore, locks: UploadLocks, authorize: Authorize) -> None:
        self.backend = backend
        self.store = store
        self.locks = locks
        self.authorize = authorize

    async def handle(self, request: Request) -> Response:
        try:
            if request.method == "OPTIONS":
                return protocol.capabilities(self.backend.uploads.size_limit)
            protocol.require_version(request.headers)
            if request.method == "POST":
                return await self._create(request)
            location = UploadLocation.decode(request.path_params.get("upload", ""))
            match request.method:
                case "HEAD":
                    return await self._head(request, location)
                case "PATCH":
                    return await self._patch(request, location)
                case "DELETE":
                    return await self._delete(request, location)
            raise TusError(404, "Not found\n")
        except TusError as error:
            failure = error
        except StorageError as error:
            failure = TusError(error.status, error.message)
        await drain(request)
        return protocol.error_response(failure)

    async def _create(self, request: Request) -> Response:
        if "upload-concat" in request.headers:
            raise TusError(501, "Concatenation extension is not (yet) supported. Disable parallel uploads.\n")
        length = protocol.upload_length(request.headers)
        header = request.headers.get("upload-metadata")
        metadata = protocol.parse_metadata(header)
        location = UploadLocation(metadata.get("bucketName") or "", metadata.get("objectName") or "", str(uuid.uuid4()))
        authorization = await self.authorize(self.backend, request, location, "create")
        bucket = await self.backend.uploads.bucket(location.bucket_id, authorization.operation)
        if length is not None and length > self.backend.uploads.limit_of(bucket):
            raise protocol.max_size_exceeded()
        if content_type := metadata.get("contentType"):  # without one the real Storage skips this check too
            require_mime_type(bucket, content_type)
        upload = self.store.create(location.bucket_id, location.name, location.version, length, header or "")
        headers = {"Location": f"{str(request.url.replace(query='')).rstrip('/')}/{location.encode()}"}
        async with self.locks.acquire(location.version) as lock:
            if request.headers.get("content-type") == OFFSET_STREAM:
                await self._receive(request, lock, upload, bucket)
                headers["Upload-Offset"] = str(self.store.offset(upload))
            await self._finish_if_complete(authorization, upload)
        return tus_response(201, {**headers, **self._expires_header(upload)})

    async def _head(self, request: Request, location: UploadLocation) -> Response:
        authorization = await self.authorize(self.backend, request, location, "get")
        upload = self.store.find(location.bucket_id, location.name, location.version)
        # A crash between the last byte and the row leaves a complete upload, and the client sends no further PATCH.
        if self._is_complete(upload):
            async with self.locks.acquire(location.version):
                upload = self.store.find(location.bucket_id, location.name, location.version)
                await self._finish_if_complete(authorization, upload)
        length = {"Upload-Defer-Length": "1"} if upload.length is None else {"Upload-Length": str(upload.length)}
        offset = str(self.store.offset(upload))
        headers = {"Cache-Control": "no-store", "Upload-Offset": offset, "Upload-Metadata": upload.metadata}
        return tus_response(200, {**headers, **length, **self._expires_header(upload)})

    async def _patch(self, request: Request, location: UploadLocation) -> Response:
        offset = byte_count(request.headers, "upload-offset")
        if offset is None:
            raise TusError(403, "Upload-Offset header required\n")
        protocol.require_offset_stream(request.headers.get("content-type"))
        authorization = await self.authorize(self.backend, request, location, "part")
        bucket = await self.backend.uploads.bucket(location.bucket_id, authorization.operation)
        async with self.locks.acquire(location.version) as lock:
            upload = self.store.find(location.bucket_id, location.name, location.version)
            if offset != self.store.offset(upload):
                raise protocol.wrong_offset()
            self._set_deferred_length(request, upload, self.backend.uploads.limit_of(bucket))
            await self._receive(request, lock, upload, bucket)
            await self._finish_if_complete(authorization, upload)
            return tus_response(204, {"Upload-Offset": str(self.store.offset(upload)), **self._expires_header(upload)})

    async def _delete(self, request: Request, location: UploadLocation) -> Response:
        await self.authorize(self.backend, request, location, "delete")
        async with self.locks.acquire(location.version):
            upload = self.store.find(location.bucket_id, location.name, location.version)
            if upload.finished:
                raise TusError(400, "Cannot terminate an already completed upload")
            self.store.remove(upload)
        return tus_response(204)

    def _set_deferred_length(self, request: Request, upload: PartialUpload, limit: int) -> None:
        """Stores the length that was deferred at creation."""
        length = byte_count(request.headers, "upload-length")
        if length is None:
            return
        if upload.length is not None or length < self.store.offset(upload):
            raise protocol.length_required()
        if length > limit:
            raise protocol.max_size_exceeded()
        upload.length = length
        self.store.save_info(upload)

    async def _receive(self, request: Request, lock: UploadLock, upload: PartialUpload, bucket: Row) -> None:
        too_large, end = protocol.upload_length_exceeded(), upload.length
        if end is None:
            too_large, end = protocol.max_size_exceeded(), self.backend.uploads.limit_of(bucket)
        capacity = end - self.store.offset(upload)
        if (byte_count(request.headers, "content-length") or 0) > capacity:
            raise too_large
        async with lock.reading():
            await self.store.append(upload, request.stream(), capacity, too_large)

    def _is_complete(self, upload: PartialUpload) -> bool:
        return not upload.finished and upload.length == self.store.offset(upload)

    async def _finish_if_complete(self, authorization: Authorization, upload: PartialUpload) -> None:
        """Lands a complete upload. A rejection (status below 500) deletes the bytes; a server error keeps them for
        another attempt.
        """
        if not self._is_complete(upload):
            return
        try:
            if not await self._has_landed(authorization, upload):
                await self._land(authorization, upload)
        except StorageError as error:
            if error.status < 500:
                self.store.remove_bytes(upload)
            raise
        self.store.mark_finished(upload)

    async def _has_landed(self, authorization: Authorization, upload: PartialUpload) -> bool:
        async with self.backend.database.transaction(self.backend.service(), authorization.operation) as connection:
            row = await rows.find(connection, upload.bucket_id, upload.name)
        return row is not None and row["version"] == upload.version

    async def _land(self, authorization: Authorization, upload: PartialUpload) -> None:
        metadata = protocol.parse_metadata(upload.metadata)
        complete = await self.store.complete_file(upload)
        # Links the file under a second name, so the upload survives a crash before the row is written.
        received = replace(self.backend.files.duplicate(complete.path), md5=complete.md5)
        target = Target(
            upload.bucket_id, upload.name, authorization.owner, True, parse_user_metadata(metadata.get("metadata"))
        )
        object_metadata = metadata_of(
            received, metadata.get("contentType") or "application/octet-stream", _cache_control(metadata)
        )
        await self.backend.uploads.land(authorization.operation, target, received, object_metadata, upload.version)

    def _expires_header(self, upload: PartialUpload) -> dict[str, str]:
        return {} if upload.finished else {"Upload-Expires": self.store.expires(upload)}


def _cache_control(metadata: Metadata) -> str:
    seconds = metadata.get("cacheControl") or ""
    return f"max-age={seconds}" if re.fullmatch(r"-?\d+", seconds, re.ASCII) else "no-cache"
