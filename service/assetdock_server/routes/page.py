"""The page: what `service/web/build.mjs` made, with this project's Supabase filled in."""

import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.config import Connection
from assetdock_server.errors import ApiError

DIST = Path(__file__).parents[2] / "web" / "dist"
TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))  # the first one that the browser takes
FOR_EVER: Final = "public, max-age=31536000, immutable"  # the name holds a hash of the content
GENERAL: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def content_security_policy(supabase_url: str) -> str:
    """Only what the page needs: its own files, and the project's Auth and Storage."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            "img-src 'self'",
            f"media-src 'self' blob: {supabase_url}",  # blob: to look into a file before it is uploaded
            f"connect-src 'self' {supabase_url}",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


@dataclass(frozen=True)
class Served:
    """A file of the page, as it is and compressed."""

    media_type: str
    content: bytes
    encoded: dict[str, bytes]


@dataclass(frozen=True)
class Page:
    """Everything a browser gets from us, read once when the service starts. `html` is None when it isn't built."""

    html: bytes | None
    etag: str
    policy: str
    files: dict[str, Served]

    @classmethod
    def read(cls, connection: Connection, dist: Path = DIST) -> "Page":
        """The page from `dist`, for this Supabase project."""
        policy = content_security_policy(connection.supabase_url)
        template = dist / "index.html"
        if not template.is_file():
            return cls(None, "", policy, {})
        html = template.read_text()
        for name, value in (
            ("supabase_url", connection.supabase_url),
            ("supabase_publishable_key", connection.publishable_key),
        ):
            html = html.replace(f"{{{{{name}}}}}", escape(value))
        etag = f'"{hashlib.sha256(html.encode()).hexdigest()[:32]}"'
        return cls(
            html.encode(), etag, policy, {path.name: _read(path) for path in dist.iterdir() if path.suffix in TYPES}
        )


async def index(request: Request) -> Response:
    """GET /: the page. Checked for news every time, so that a new version shows at once."""
    page: Page = request.app.state.page
    if page.html is None:
        raise ApiError("not_found", "The page was not built with this service. `make setup` builds it.")
    headers = {
        **GENERAL,
        "Cache-Control": "no-cache",
        "ETag": page.etag,
        "Content-Security-Policy": page.policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "X-Frame-Options": "DENY",
    }
    if page.etag in {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}:
        return Response(status_code=304, headers=headers)
    return Response(page.html, headers=headers, media_type="text/html")


async def file(request: Request) -> Response:
    """GET /web/{name}: one of the page's files, which may be kept for ever."""
    page: Page = request.app.state.page
    served = page.files.get(request.path_params["name"])
    if served is None:
        raise ApiError("not_found")
    headers = {**GENERAL, "Cache-Control": FOR_EVER}
    content = served.content
    if served.encoded:
        headers["Vary"] = "Accept-Encoding"
        for encoding, _ in ENCODINGS:
            if encoding in served.encoded and _accepts(request.headers, encoding):
                headers["Content-Encoding"] = encoding
                content = served.encoded[encoding]
                break
    return Response(content, headers={**headers, "Content-Type": served.media_type})


def _accepts(headers: Headers, encoding: str) -> bool:
    for part in headers.get("accept-encoding", "").split(","):
        name, _, weight = part.strip().partition(";")
        if name.strip().lower() == encoding:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _read(path: Path) -> Served:
    encoded = {}
    for encoding, suffix in ENCODINGS:
        compressed = path.with_name(path.name + suffix)
        if compressed.is_file():
            encoded[encoding] = compressed.read_bytes()
    return Served(TYPES[path.suffix], path.read_bytes(), encoded)
