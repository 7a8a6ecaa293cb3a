"""Building responses: JSON bodies and timestamps."""

from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response


def json_response(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response. It belongs to one caller at one moment, so no cache may store it."""
    return Response(
        orjson.dumps(document), status, {**(headers or {}), "Cache-Control": "no-store"}, "application/json"
    )


def rfc3339(instant: datetime) -> str:
    """The instant in UTC with six decimal places and `Z`, as the database formats timestamps."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
