"""What goes around every request: its id, its line in the log, and an answer even when something breaks."""

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

# For whatever a browser does with an answer; a page may set its own.
HARDENING = (("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"))

log = structlog.get_logger()


class Envelope:
    """ASGI middleware, outermost. Puts `request_id` into the request's state; handlers may add `caller`
    and `made` (ids that the path doesn't name) for the log, `route` for the metrics, `headers` for the response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SAFE_ID.fullmatch(given) else secrets.token_hex(16)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in HARDENING:
                    headers.setdefault(name, value)
                headers.update(state.get("headers", {}))
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            log.exception("unhandled_error", path=scope["path"])
            if status:
                raise  # the answer has begun; only closing the connection tells the client that it is broken
            await problem(ApiError("internal_error"), request_id)(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            route = state.get("route", "none")
            metrics.requests_of(route, scope["method"], status).inc()
            metrics.request_seconds_of(route).observe(seconds)
            # The path without its query: signed URLs and cursors have no place in a log.
            log.info(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000, 1),
                caller=state.get("caller"),
                **scope.get("path_params", {}),
                **state.get("made", {}),
            )
