"""The two doors to resumable uploads: with the user's token, and with that of a signed upload URL."""

import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace

import orjson
from starlette.requests import Request
from starlette.responses import Response

from devstack.storage import rows
from devstack.storage.answers import drain
from devstack.storage.desk import Desk
from devstack.storage.errors import StorageError
from devstack.storage.files import metadata_of
from devstack.storage.rows import Row
from devstack.storage.tus import protocol
from devstack.storage.tus.admission import Pass, Place, Step
from devstack.storage.tus.partials import Partial, Partials
from devstack.storage.tus.protocol import BYTES, Metadata, TusError, answer, count
from devstack.storage.tus.turns import Turn, Turns
from devstack.storage.uploads import Target, require_mime_type

Admission = Callable[[Desk, Request, Place, Step], Awaitable[Pass]]


class Resumable:
    """One of the doors. Both share ``partials`` and ``turns``; ``admit`` is what differs."""

    def __init__(self, desk: Desk, partials: Partials, turns: Turns, admit: Admission) -> None:
        self.desk = desk
        self.partials = partials
        self.turns = turns
        self.admit = admit

    async def answer(self, request: Request) -> Response:
        method = protocol.method_of(request)
        try:
            if method == "OPTIONS":
                return protocol.capabilities(self.desk.uploads.size_limit)
            protocol.require_version(request.headers)
            if method == "POST":
                return await self._create(request)
            place = Place.of(request.path_params.get("upload", ""))
            match method:
                case "HEAD":
                    return await self._look(request, place)
                case "PATCH":
                    return await self._append(request, place)
                case "DELETE":
                    return await self._terminate(request, place)
            raise TusError(404, "Not found\n")
        except TusError as error:
            refused = error
        except StorageError as error:
            refused = TusError(error.status, error.message)
        await drain(request)
        return protocol.refusal(refused)

    async def _create(self, request: Request) -> Response:
        if "upload-concat" in request.headers:
            raise TusError(501, "Concatenation extension is not (yet) supported. Disable parallel uploads.\n")
        length = protocol.announced_length(request.headers)
        header = request.headers.get("upload-metadata")
        metadata = protocol.parse_metadata(header)
        place = Place(metadata.get("bucketName") or "", metadata.get("objectName") or "", str(uuid.uuid4()))
        admitted = await self.admit(self.desk, request, place, "create")
        bucket = await self.desk.uploads.bucket(place.bucket_id, admitted.occasion)
        if length is not None and length > self.desk.uploads.limit_of(bucket):
            raise protocol.longer_than_allowed()
        if content_type := metadata.get("contentType"):  # without one, no list of allowed types is looked at
            require_mime_type(bucket, content_type)
        partial = self.partials.create(place.bucket_id, place.name, place.version, length, header or "")
        sent = {"Location": f"{str(request.url.replace(query='')).rstrip('/')}/{place.encoded()}"}
        async with self.turns.at(place.version) as turn:
            if request.headers.get("content-type") == BYTES:
                await self._receive(request, turn, partial, bucket)
                sent["Upload-Offset"] = str(self.partials.offset(partial))
            await self._finish_if_whole(admitted, partial)
        return answer(201, {**sent, **self._expiry(partial)})

    async def _look(self, request: Request, place: Place) -> Response:
        admitted = await self.admit(self.desk, request, place, "get")
        partial = self.partials.find(place.bucket_id, place.name, place.version)
        if self._is_whole(partial):  # ours died between the last byte and the row: the client will not come again
            async with self.turns.at(place.version):
                partial = self.partials.find(place.bucket_id, place.name, place.version)
                await self._finish_if_whole(admitted, partial)
        length = {"Upload-Defer-Length": "1"} if partial.length is None else {"Upload-Length": str(partial.length)}
        offset = str(self.partials.offset(partial))
        known = {"Cache-Control": "no-store", "Upload-Offset": offset, "Upload-Metadata": partial.metadata}
        return answer(200, {**known, **length, **self._expiry(partial)})

    async def _append(self, request: Request, place: Place) -> Response:
        offset = count(request.headers, "upload-offset")
        if offset is None:
            raise TusError(403, "Upload-Offset header required\n")
        if request.headers.get("content-type") != BYTES:
            raise TusError(415, f"Unsupported Media Type: send {BYTES}\n")
        admitted = await self.admit(self.desk, request, place, "part")
        bucket = await self.desk.uploads.bucket(place.bucket_id, admitted.occasion)
        async with self.turns.at(place.version) as turn:
            partial = self.partials.find(place.bucket_id, place.name, place.version)
            if offset != self.partials.offset(partial):
                raise protocol.wrong_offset()
            self._hear_length(request, partial, self.desk.uploads.limit_of(bucket))
            await self._receive(request, turn, partial, bucket)
            await self._finish_if_whole(admitted, partial)
            return answer(204, {"Upload-Offset": str(self.partials.offset(partial)), **self._expiry(partial)})

    async def _terminate(self, request: Request, place: Place) -> Response:
        await self.admit(self.desk, request, place, "delete")
        async with self.turns.at(place.version):
            partial = self.partials.find(place.bucket_id, place.name, place.version)
            if partial.finished:
                raise TusError(400, "Cannot terminate an already completed upload")
            self.partials.remove(partial)
        return answer(204)

    def _hear_length(self, request: Request, partial: Partial, limit: int) -> None:
        """The length of an upload that was created without one."""
        length = count(request.headers, "upload-length")
        if length is None:
            return
        if partial.length is not None or length < self.partials.offset(partial):
            raise protocol.length_required()
        if length > limit:
            raise protocol.longer_than_allowed()
        partial.length = length
        self.partials.note(partial)

    async def _receive(self, request: Request, turn: Turn, partial: Partial, bucket: Row) -> None:
        refusal, end = protocol.longer_than_announced(), partial.length
        if end is None:
            refusal, end = protocol.longer_than_allowed(), self.desk.uploads.limit_of(bucket)
        room = end - self.partials.offset(partial)
        if (count(request.headers, "content-length") or 0) > room:
            raise refusal
        async with turn.reading():
            await self.partials.append(partial, request.stream(), room, refusal)

    def _is_whole(self, partial: Partial) -> bool:
        return not partial.finished and partial.length == self.partials.offset(partial)

    async def _finish_if_whole(self, admitted: Pass, partial: Partial) -> None:
        """Lands the bytes once all are there. A refusal takes them away; only trouble of ours leaves them for
        another attempt.
        """
        if not self._is_whole(partial):
            return
        try:
            if not await self._has_landed(admitted, partial):
                await self._land(admitted, partial)
        except StorageError as error:
            if error.status < 500:
                self.partials.remove(partial)
            raise
        self.partials.finish(partial)

    async def _has_landed(self, admitted: Pass, partial: Partial) -> bool:
        async with self.desk.database.transaction(self.desk.service(), admitted.occasion) as connection:
            row = await rows.find(connection, partial.bucket_id, partial.name)
        return row is not None and row["version"] == partial.version

    async def _land(self, admitted: Pass, partial: Partial) -> None:
        metadata = protocol.parse_metadata(partial.metadata)
        whole = await self.partials.whole(partial)
        # A second name for the same bytes: should we die before the row is written, they are still here.
        received = replace(self.desk.files.duplicate(whole.path), md5=whole.md5)
        target = Target(partial.bucket_id, partial.name, admitted.owner, True, _user_metadata(metadata))
        described = metadata_of(
            received, metadata.get("contentType") or "application/octet-stream", _cache_control(metadata)
        )
        await self.desk.uploads.land(admitted.occasion, target, received, described, partial.version)

    def _expiry(self, partial: Partial) -> dict[str, str]:
        return {} if partial.finished else {"Upload-Expires": self.partials.expires(partial)}


def _cache_control(metadata: Metadata) -> str:
    seconds = metadata.get("cacheControl") or ""
    return f"max-age={seconds}" if re.fullmatch(r"-?\d+", seconds, re.ASCII) else "no-cache"


def _user_metadata(metadata: Metadata) -> dict[str, object] | None:
    try:
        value = orjson.loads(metadata.get("metadata") or "null")
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
