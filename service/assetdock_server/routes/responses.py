"""Building responses: JSON bodies, timestamps, and validation of cached copies."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response


def json_response(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response. It belongs to one caller at one moment, so no cache may store it."""
    return Response(
        orjson.dumps(document), status, {**(headers or {}), "Cache-Control": "no-store"}, "application/json"
    )


def rfc3339(instant: datetime) -> str:
    """The instant in UTC with six decimal places and `Z`, as the database formats timestamps."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def strong_etag(content: bytes) -> str:
    """A strong validator of the content (RFC 9110, section 8.8.3)."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def validated_response(
    request: Request, content: bytes, *, etag: str, media_type: str, headers: Mapping[str, str]
) -> Response:
    """The content with its ETag, or 304 if the request's If-None-Match lists that ETag (RFC 9110, section 13.1.2)."""
    headers = {**headers, "ETag": etag}
    listed = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if etag in listed or "*" in listed:
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": media_type})
