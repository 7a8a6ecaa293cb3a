"""What browsers may do with our answers from other origins."""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
REQUEST_HEADERS: Final = ("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-Id")
RESPONSE_HEADERS: Final = (
    "ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id",
)  # fmt: skip


class Cors(CORSMiddleware):
    """Starlette's, but for preflights: they are 204, and one that is refused says so by what it leaves out."""

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        super().__init__(
            app,
            allow_origins=list(origins),
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
            max_age=3600,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """204, with Access-Control-Allow-… only when the browser may go on. Starlette's refusal is 400 in plain text,
        which is no error of ours, and names what is allowed all the same.
        """
        given = super().preflight_response(request_headers)
        answer = Response(status_code=204)
        if given.status_code == 200:
            headers = MutableHeaders(scope={"headers": given.raw_headers})
            del headers["content-length"]
            del headers["content-type"]
            answer.raw_headers = headers.raw
        else:
            answer.headers["Vary"] = "Origin"
        return answer
