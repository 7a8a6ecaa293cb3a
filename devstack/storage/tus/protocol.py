"""The TUS 1.0.0 protocol: request headers, response headers, and errors in plain text."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response

from devstack.storage.errors import invalid_request

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "creation-defer-length", "termination", "expiration")
OFFSET_STREAM = "application/offset+octet-stream"
METHODS = ("POST", "HEAD", "PATCH", "OPTIONS", "DELETE")

_COUNT = re.compile(r"0|[1-9][0-9]{0,15}")
_BASE64 = re.compile(r"[0-9A-Za-z+/]*={0,2}")

Metadata = dict[str, str | None]


@dataclass
class TusError(Exception):
    """``status`` is the HTTP status; ``message`` is the response body."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


def not_found() -> TusError:
    return TusError(404, "The file for this url was not found\n")


def expired() -> TusError:
    return TusError(410, "The file for this url no longer exists\n")


def wrong_offset() -> TusError:
    return TusError(409, "Upload-Offset conflict\n")


def upload_length_exceeded() -> TusError:
    return TusError(413, "upload's size exceeded\n")


def max_size_exceeded() -> TusError:
    return TusError(413, "Maximum size exceeded\n")


def length_required() -> TusError:
    return TusError(400, "Upload-Length or Upload-Defer-Length header required\n")


def require_offset_stream(content_type: str | None) -> None:
    """Raises TusError for a PATCH with another content type, StorageError for JSON, which Storage parses first."""
    if content_type is None:
        raise TusError(403, "Content-Type header required\n")
    if content_type.partition(";")[0].strip() == "application/json":
        raise invalid_request("Body is not valid JSON but content-type is set to 'application/json'")
    if content_type != OFFSET_STREAM:
        raise TusError(400, "Invalid content-type\n")


def invalid(header: str) -> TusError:
    return TusError(400, f"Invalid {header}\n")


def require_version(headers: Headers) -> None:
    """Raises TusError 412 when the request names no TUS version or another one."""
    version = headers.get("tus-resumable")
    if version is None:
        raise TusError(412, "Tus-Resumable Required\n", {"Tus-Version": VERSION})
    if version != VERSION:
        raise TusError(412, "Invalid tus-resumable\n", {"Tus-Version": VERSION})


def byte_count(headers: Headers, name: str) -> int | None:
    """A header that is a number of bytes, or None when it is missing. Raises TusError 400 for any other value."""
    text = headers.get(name)
    if text is None:
        return None
    if not _COUNT.fullmatch(text):
        raise invalid(name)
    return int(text)


def upload_length(headers: Headers) -> int | None:
    """The length of a new upload, or None when the client defers it. Raises TusError 400 unless the request has
    exactly one of Upload-Length and Upload-Defer-Length.
    """
    length, deferred = byte_count(headers, "upload-length"), headers.get("upload-defer-length")
    if deferred not in (None, "1"):
        raise invalid("upload-defer-length")
    if (length is None) == (deferred is None):
        raise length_required()
    return length


def parse_metadata(header: str | None) -> Metadata:
    """`key base64,key base64,key`. Raises TusError 400 for any other form."""
    metadata: Metadata = {}
    for pair in (header or "").split(","):
        key, separator, value = pair.partition(" ")
        well_formed = key and key.isascii() and key not in metadata and _BASE64.fullmatch(value) and len(value) % 4 == 0
        if not well_formed:
            raise invalid("upload-metadata")
        try:
            metadata[key] = base64.b64decode(value).decode(errors="replace") if separator and value else None
        except binascii.Error as error:
            raise invalid("upload-metadata") from error
    return metadata


def tus_response(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **(headers or {})})


def error_response(error: TusError) -> Response:
    return PlainTextResponse(error.message, error.status, {"Tus-Resumable": VERSION, **error.headers})


def capabilities(max_size: int) -> Response:
    """The response to OPTIONS. ``max_size``: bytes."""
    return tus_response(
        204,
        {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Max-Size": str(max_size),
            "Access-Control-Allow-Methods": ", ".join(METHODS),
        },
    )
