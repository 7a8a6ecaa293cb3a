"""Responses with an object's bytes: ranges, conditional requests, file names."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from devstack.storage.errors import invalid_range, no_such_key
from devstack.storage.files import Files
from devstack.storage.rows import Row

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def serve(request: Request, files: Files, row: Row, *, expires: int | None = None) -> Response:
    """The response to GET or HEAD for an object. ``expires``: unix seconds at which a signed URL expires."""
    path = files.path(row["bucket_id"], row["name"], row["version"])
    if not path.is_file():
        raise no_such_key()
    metadata = row["metadata"] or {}
    size = path.stat().st_size
    headers = {
        "accept-ranges": "bytes",
        "cache-control": metadata.get("cacheControl", "no-cache"),
        "content-type": metadata.get("mimetype", "application/octet-stream"),
        "etag": metadata.get("eTag", ""),
        "last-modified": format_datetime(_modified(row), usegmt=True),
    }
    if expires is not None:
        headers["expires"] = format_datetime(datetime.fromtimestamp(expires, UTC), usegmt=True)
    if (download := request.query_params.get("download")) is not None:
        headers["content-disposition"] = _disposition(download)
    if _unchanged(request, headers["etag"], _modified(row)):
        return Response(status_code=304, headers=headers)
    status, start, length = 200, 0, size
    if span := _span(request.headers.get("range", ""), size):
        start, length = span
        status = 206
        headers["content-range"] = f"bytes {start}-{start + length - 1}/{size}"
    headers["content-length"] = str(length)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(files.read(path, start, length), status, headers)


def info(row: Row) -> dict[str, object]:
    """The response body of GET /object/info."""
    metadata = row["metadata"] or {}
    return {
        "id": str(row["id"]),
        "name": row["name"],
        "version": row["version"],
        "bucket_id": row["bucket_id"],
        "size": metadata.get("size"),
        "content_type": metadata.get("mimetype"),
        "cache_control": metadata.get("cacheControl"),
        "etag": metadata.get("eTag"),
        "metadata": row["user_metadata"] or {},
        "last_modified": metadata.get("lastModified"),
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _span(header: str, size: int) -> tuple[int, int] | None:
    """(start, length) of a single range; None without a Range header, or for one that is not supported."""
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.group(1, 2)
    if first == "":  # a suffix range
        length = min(int(last), size)
        start = size - length
    else:
        start = int(first)
        length = min(int(last) if last else size - 1, size - 1) - start + 1
    if length <= 0 or start >= size:
        raise invalid_range()
    return start, length


def _modified(row: Row) -> datetime:
    text = (row["metadata"] or {}).get("lastModified")
    instant = datetime.fromisoformat(text) if text else row["updated_at"]
    return instant.astimezone(UTC).replace(microsecond=0)


def _unchanged(request: Request, etag: str, modified: datetime) -> bool:
    if (known := request.headers.get("if-none-match")) is not None:
        return known.strip() == "*" or etag in {tag.strip().removeprefix("W/") for tag in known.split(",")}
    if since := request.headers.get("if-modified-since"):
        try:
            return modified <= parsedate_to_datetime(since)
        except (ValueError, TypeError):
            return False
    return False


def _disposition(name: str) -> str:
    if not name:
        return "attachment"
    plain = quote(name, safe="!#$&+-.^_`|~")
    return f"attachment; filename={plain}; filename*=UTF-8''{plain};"
