"""Serves the documentation, which is built when the service starts and is the same for every caller."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.errors import ApiError
from assetdock_server.routes.responses import strong_etag, validated_response


@dataclass(frozen=True)
class Document:
    """A file of the documentation. `headers` are sent with it."""

    content: bytes = field(repr=False)
    media_type: str
    etag: str
    headers: Mapping[str, str]


Documents = dict[str, Document | ApiError]


def document(text: str, media_type: str, headers: Mapping[str, str] | None = None) -> Document:
    """A document with this text."""
    content = text.encode()
    return Document(content, media_type, strong_etag(content), headers or {})


async def get_document(request: Request) -> Response:
    """GET of a document by its path. Raises ApiError `not_found`, or the error that is stored for the path."""
    documents: Documents = request.app.state.documents
    found = documents.get(request.url.path)
    if found is None:
        raise ApiError("not_found", "There is no such page. /llms.txt lists all pages.")
    if isinstance(found, ApiError):
        raise ApiError(found.code, found.message)
    return validated_response(
        request,
        found.content,
        etag=found.etag,
        media_type=found.media_type,
        headers={**found.headers, "Cache-Control": "public, max-age=300"},
    )
