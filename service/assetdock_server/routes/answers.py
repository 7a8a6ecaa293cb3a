"""JSON answers."""

from typing import Any

import orjson
from starlette.responses import Response


def json_answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON response. Everything here belongs to one caller at one moment, so nothing may be stored."""
    return Response(
        orjson.dumps(document), status, {**(headers or {}), "Cache-Control": "no-store"}, "application/json"
    )
