"""Serves the web page that `service/web/build.mjs` builds, with this project's Supabase URL and key filled in."""

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from assetdock_server import files
from assetdock_server.config import Connection
from assetdock_server.errors import ApiError
from assetdock_server.routes.responses import strong_etag, validated_response

DIST = files.directory("page")
MEDIA_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))  # in order of preference
IMMUTABLE: Final = "public, max-age=31536000, immutable"  # for files whose name contains a hash of their content
COMMON_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def content_security_policy(supabase_url: str, storage_origin: str) -> str:
    """Allows the page's own files and the project's Auth and Storage, and nothing else."""
    project = supabase_url if storage_origin == supabase_url else f"{supabase_url} {storage_origin}"
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "img-src 'self'",
            f"media-src 'self' blob: {storage_origin}",  # blob: to read a file's properties before its upload
            f"connect-src 'self' {project}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@dataclass(frozen=True)
class PageFile:
    """A file of the page. `compressed` maps a content coding to the file in that coding."""

    media_type: str
    content: bytes
    compressed: dict[str, bytes]


@dataclass(frozen=True)
class Page:
    """All files of the page, read once when the service starts. `html` is None if the page is not built."""

    html: bytes | None
    etag: str
    policy: str
    files: dict[str, PageFile]

    @classmethod
    def read(cls, connection: Connection, dist: Path = DIST) -> "Page":
        """Reads the page from `dist` and fills in the settings of this Supabase project."""
        policy = content_security_policy(connection.supabase_url, connection.bytes_origin)
        template = dist / "index.html"
        if not template.is_file():
            return cls(None, "", policy, {})
        text = template.read_text()
        for name, value in (
            ("supabase_url", connection.supabase_url),
            ("supabase_publishable_key", connection.publishable_key),
        ):
            text = text.replace(f"{{{{{name}}}}}", escape(value))
        html = text.encode()
        files = {path.name: _read(path) for path in dist.iterdir() if path.suffix in MEDIA_TYPES}
        return cls(html, strong_etag(html), policy, files)


async def index(request: Request) -> Response:
    """GET /: the page. Browsers revalidate it on every visit, so that a new version takes effect at once."""
    page: Page = request.app.state.page
    if page.html is None:
        raise ApiError("not_found", "This installation does not include the web page. `make setup` builds it.")
    headers = {
        **COMMON_HEADERS,
        "Cache-Control": "no-cache",
        "Content-Security-Policy": page.policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "X-Frame-Options": "DENY",
    }
    return validated_response(
        request, page.html, etag=page.etag, media_type="text/html; charset=utf-8", headers=headers
    )


async def file(request: Request) -> Response:
    """GET /web/{name}: a file of the page."""
    page: Page = request.app.state.page
    found = page.files.get(request.path_params["name"])
    if found is None:
        raise ApiError("not_found")
    headers = {**COMMON_HEADERS, "Cache-Control": IMMUTABLE, "Content-Type": found.media_type}
    if not found.compressed:
        return Response(found.content, headers=headers)
    headers["Vary"] = "Accept-Encoding"
    for encoding, content in found.compressed.items():
        if _accepts(request.headers, encoding):
            return Response(content, headers={**headers, "Content-Encoding": encoding})
    return Response(found.content, headers=headers)


def _accepts(headers: Headers, encoding: str) -> bool:
    for part in headers.get("accept-encoding", "").split(","):
        name, _, weight = part.strip().partition(";")
        if name.strip().lower() == encoding:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _read(path: Path) -> PageFile:
    compressed = {}
    for encoding, suffix in ENCODINGS:
        file_path = path.with_name(path.name + suffix)
        if file_path.is_file():
            compressed[encoding] = file_path.read_bytes()
    return PageFile(MEDIA_TYPES[path.suffix], path.read_bytes(), compressed)
