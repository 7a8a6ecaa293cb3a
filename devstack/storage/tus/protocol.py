"""What TUS 1.0.0 says on the wire: headers in, headers out, and refusals in plain text."""

import base64
import binascii
import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "creation-defer-length", "termination", "expiration")
BYTES = "application/offset+octet-stream"
METHODS = ("POST", "HEAD", "PATCH", "OPTIONS", "DELETE")

_COUNT = re.compile(r"0|[1-9][0-9]{0,15}")
_BASE64 = re.compile(r"[0-9A-Za-z+/]*={0,2}")

Metadata = dict[str, str | None]


@dataclass
class TusError(Exception):
    """``status`` is the HTTP status, and the message the whole of the body."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)


def not_found() -> TusError:
    return TusError(404, "The file for this url was not found\n")


def gone() -> TusError:
    return TusError(410, "The file for this url no longer exists\n")


def wrong_offset() -> TusError:
    return TusError(409, "Upload-Offset conflict\n")


def longer_than_announced() -> TusError:
    return TusError(413, "upload's size exceeded\n")


def longer_than_allowed() -> TusError:
    return TusError(413, "Maximum size exceeded\n")


def length_required() -> TusError:
    return TusError(400, "Upload-Length or Upload-Defer-Length header required\n")


def invalid(header: str) -> TusError:
    return TusError(400, f"Invalid {header}\n")


def method_of(request: Request) -> str:
    """The method; for a client that cannot send PATCH or DELETE, the one it names in its place."""
    return request.headers.get("x-http-method-override", request.method).upper()


def require_version(headers: Headers) -> None:
    """Raises TusError 412 for a client that speaks no TUS, or another version of it."""
    spoken = headers.get("tus-resumable")
    if spoken is None:
        raise TusError(412, "Tus-Resumable Required\n", {"Tus-Version": VERSION})
    if spoken != VERSION:
        raise TusError(412, "Invalid tus-resumable\n", {"Tus-Version": VERSION})


def count(headers: Headers, name: str) -> int | None:
    """A header that is a number of bytes; None when it is missing. Raises TusError 400 for anything else."""
    text = headers.get(name)
    if text is None:
        return None
    if not _COUNT.fullmatch(text):
        raise invalid(name)
    return int(text)


def announced_length(headers: Headers) -> int | None:
    """The length of an upload that is being created, None when it is to be told later. Raises TusError 400
    unless exactly one of the two was said.
    """
    length, deferred = count(headers, "upload-length"), headers.get("upload-defer-length")
    if deferred not in (None, "1"):
        raise invalid("upload-defer-length")
    if (length is None) == (deferred is None):
        raise length_required()
    return length


def parse_metadata(header: str | None) -> Metadata:
    """`key base64,key base64,key`. Raises TusError 400 for what is not of that form."""
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


def answer(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": VERSION, **(headers or {})})


def refusal(error: TusError) -> Response:
    return PlainTextResponse(error.message, error.status, {"Tus-Resumable": VERSION, **error.headers})


def capabilities(largest: int) -> Response:
    """The answer to OPTIONS. ``largest``: bytes."""
    return answer(
        204,
        {
            "Tus-Version": VERSION,
            "Tus-Extension": ",".join(EXTENSIONS),
            "Tus-Max-Size": str(largest),
            "Access-Control-Allow-Methods": ", ".join(METHODS),
        },
    )
