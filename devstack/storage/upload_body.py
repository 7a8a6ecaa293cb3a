"""The body of an upload: raw, or a file in a multipart form. It is streamed, never held in memory."""

import base64
import binascii
import re
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from devstack.storage.errors import entity_too_large, invalid_request

FIELD_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class UploadBody:
    """``length`` is Content-Length, or None for a chunked request. ``limited``: whether the size limit applies while
    bytes arrive. For raw bodies the real Storage checks only Content-Length, so a chunked one passes.
    """

    mime_type: str
    cache_control: str
    user_metadata: dict[str, Any] | None
    length: int | None
    limited: bool
    chunks: AsyncIterator[bytes]

    def check_content_length(self, limit: int) -> None:
        """Raises StorageError when Content-Length exceeds the limit."""
        if not self.limited and self.length is not None and self.length > limit:
            raise entity_too_large()

    async def limited_chunks(self, limit: int) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self.chunks:
            size += len(chunk)
            if self.limited and size > limit:
                raise entity_too_large()
            yield chunk


async def read(request: Request) -> UploadBody:
    """Reads up to the first byte of the file. Raises StorageError for a form without a file."""
    content_type = request.headers.get("content-type", "")
    length_text = request.headers.get("content-length", "")
    length = int(length_text) if length_text.isdecimal() else None
    if not content_type.startswith("multipart/form-data"):
        return UploadBody(
            mime_type=content_type or "application/octet-stream",
            cache_control=request.headers.get("cache-control", "no-cache"),
            user_metadata=_decode_metadata(request.headers.get("x-metadata")),
            length=length,
            limited=False,
            chunks=request.stream(),
        )
    form = _Form(content_type, request.stream())
    await form.read_until_file()
    seconds = form.fields.get("cacheControl")
    return UploadBody(
        mime_type=form.mime_type,
        cache_control=f"max-age={seconds}" if seconds else "no-cache",
        user_metadata=parse_user_metadata(form.fields.get("metadata")),
        length=length,
        limited=True,
        chunks=form.file(),
    )


def _decode_metadata(header: str | None) -> dict[str, Any] | None:
    if not header:
        return None
    try:
        return parse_user_metadata(base64.b64decode(header, validate=True).decode())
    except (binascii.Error, UnicodeDecodeError):
        return None


def _part_type(content_type: str) -> str:
    """The type of a file in a form. The real parser keeps only type and subtype, in lower case. A part without a type
    is text."""
    return re.sub(r"[ \t]", "", content_type.partition(";")[0]).lower() or "text/plain"


def parse_user_metadata(text: str | None) -> dict[str, Any] | None:
    """The uploader's own metadata. Anything but a JSON object is ignored, as on the real Storage."""
    if not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


class _Form:
    """A multipart form, parsed as it arrives: the fields before the file, then the file's bytes.

    The file is the part with a file name, or the part named "" or "file" (some clients send no file name).
    """

    def __init__(self, content_type: str, stream: AsyncIterator[bytes]) -> None:
        self.fields: dict[str, str] = {}
        self.mime_type = ""
        self._stream = stream
        self._in_file = self._file_seen = self._file_ended = False
        self._pending: deque[bytes] = deque()
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        self._field_name, self._field = "", bytearray()
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise invalid_request("multipart: boundary is missing")
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
            },
        )

    async def read_until_file(self) -> None:
        while not self._file_seen:
            if not await self._feed():
                raise invalid_request("No file provided")

    async def file(self) -> AsyncIterator[bytes]:
        while True:
            while self._pending:
                yield self._pending.popleft()
            if self._file_ended:
                break
            if not await self._feed():
                raise invalid_request("multipart: the form ended inside its file")
        async for _ in self._stream:  # a client that is still sending would not see the response
            pass

    async def _feed(self) -> bool:
        """Parses the next chunk. Returns False at the end of the request."""
        try:
            chunk = await anext(self._stream)
            self._parser.write(chunk)
        except StopAsyncIteration:
            return False
        except MultipartParseError as error:
            raise invalid_request(f"multipart: {error}") from error
        return True

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._field_name = options.get(b"name", b"").decode(errors="replace")
        is_file = b"filename" in options or self._field_name in ("", "file")
        self._in_file = is_file and not self._file_seen
        if self._in_file:
            self._file_seen = True
            self.mime_type = _part_type(self._headers.get(b"content-type", b"").decode("latin-1"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._pending.append(data[start:end])
        elif not self._file_seen:
            self._field += data[start:end]
            if len(self._field) > FIELD_LIMIT:
                raise MultipartParseError("a field is too long")

    def _on_part_end(self) -> None:
        if self._in_file:
            self._file_ended, self._in_file = True, False
        elif not self._file_seen:
            self.fields[self._field_name] = self._field.decode(errors="replace")
        self._field = bytearray()
