"""The documentation: made when the service starts, the same for everybody."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.errors import ApiError


@dataclass(frozen=True)
class Document:
    """A file of the documentation. `etag` is a strong validator (RFC 9110, section 8.8.3)."""

    content: bytes = field(repr=False)
    media_type: str
    etag: str
    headers: Mapping[str, str]


Documents = dict[str, Document | ApiError]


def document(text: str, media_type: str, headers: Mapping[str, str] | None = None) -> Document:
    """A text as a file; `headers` go with it."""
    content = text.encode()
    return Document(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"', headers or {})


async def get_document(request: Request) -> Response:
    """GET of the document at this path; 304 for who has it already. Raises ApiError `not_found`."""
    documents: Documents = request.app.state.documents
    found = documents.get(request.url.path)
    if found is None:
        raise ApiError("not_found", "There is no such page. /llms.txt lists them all.")
    if isinstance(found, ApiError):
        raise ApiError(found.code, found.message)
    headers = {**found.headers, "ETag": found.etag, "Cache-Control": "public, max-age=300"}
    given = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if found.etag in given or "*" in given:
        return Response(status_code=304, headers=headers)
    return Response(found.content, headers={**headers, "Content-Type": found.media_type})
