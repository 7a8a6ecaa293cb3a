"""Middleware around every request: its id, its log line, its metrics, and a 500 response to unexpected errors."""

import re
import secrets
import time

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assetdock_server import metrics
from assetdock_server.errors import ApiError
from assetdock_server.routes.problems import problem

SAFE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

# Headers of every response, unless the response sets its own.
SECURITY_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))

log = structlog.get_logger()


class RequestContext:
    """The outermost ASGI middleware. It sets `request.state.request_id`.

    Handlers may set further attributes of the state: `caller` and `log_ids` (ids that the path does not contain) for
    the log line, `route` for the metrics, and `headers` for the response.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        requested_id = Headers(scope=scope).get("x-request-id", "")
        request_id = requested_id if SAFE_ID.fullmatch(requested_id) else secrets.token_hex(16)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in SECURITY_HEADERS:
                    headers.setdefault(name, value)
                headers.update(state.get("headers", {}))
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:
            log.exception("unhandled_error", path=scope["path"])
            if status:
                raise  # The response has begun. Only a closed connection tells the client that it is incomplete.
            await problem(ApiError("internal_error"), request_id)(scope, receive, send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = state.get("route", "none")
            metrics.requests_of(route, scope["method"], status).inc()
            metrics.request_seconds_of(route).observe(seconds)
            # Without the query string, which can contain cursors.
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
                caller=state.get("caller"),
                **scope.get("path_params", {}),
                **state.get("log_ids", {}),
            )
