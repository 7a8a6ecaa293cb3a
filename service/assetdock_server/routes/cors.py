"""CORS: access of pages on other origins."""

from collections.abc import Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
# Browser SDKs add these to every request of a page. The service ignores them.
TRACING_HEADERS: Final = (
    *("Traceparent", "Tracestate", "Baggage"),  # W3C Trace Context and Baggage
    "Sentry-Trace",
    "X-Client-Info",  # supabase-js
    *("B3", "X-B3-TraceId", "X-B3-SpanId", "X-B3-ParentSpanId", "X-B3-Sampled"),
    *("X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Origin", "X-Datadog-Sampling-Priority"),
    "Newrelic",
    *("Request-Id", "Request-Context"),  # Azure Application Insights
    "X-Amzn-Trace-Id",
    "X-Cloud-Trace-Context",
)
REQUEST_HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-None-Match", "X-Request-Id", *TRACING_HEADERS,
)  # fmt: skip
RESPONSE_HEADERS: Final = (
    "ETag", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate", "X-Request-Id",
)  # fmt: skip


class Cors(CORSMiddleware):
    """Starlette's middleware with other preflight responses: always 204, without CORS headers on rejection."""

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
        """204, with Access-Control-Allow-… headers only if the request is allowed.

        Starlette rejects with 400 in plain text, which is not our error format, and still lists what is allowed.
        """
        default = super().preflight_response(request_headers)
        response = Response(status_code=204)
        if default.status_code == 200:
            headers = MutableHeaders(scope={"headers": default.raw_headers})
            del headers["content-length"]
            del headers["content-type"]
            response.raw_headers = headers.raw
        else:
            response.headers["Vary"] = "Origin"
        return response
