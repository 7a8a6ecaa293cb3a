"""CORS as on the hosted gateway: any origin, on every path, with preflights handled first."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT"
ALLOWED_HEADERS = (
    "authorization,apikey,content-type,content-profile,accept-profile,accept,prefer,range,x-client-info,"
    "x-upsert,x-signature,x-metadata,x-supabase-api-version,cache-control,if-none-match,if-match,"
    "tus-resumable,upload-length,upload-offset,upload-metadata,upload-defer-length,upload-concat,"
    "x-http-method-override,x-requested-with"
)
EXPOSED_HEADERS = (
    "accept-ranges,content-disposition,content-encoding,content-length,content-location,content-profile,"
    "content-range,content-type,date,etag,last-modified,link,location,preference-applied,range-unit,retry-after,"
    "sb-request-id,tus-extension,tus-max-size,tus-resumable,tus-version,upload-defer-length,upload-expires,upload-length,"
    "upload-metadata,upload-offset,x-supabase-api-version,x-total-count"
)


class Cors:
    """Wraps the whole gateway. Replaces CORS headers that the wrapped applications set."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            requested = headers.get("access-control-request-headers")
            preflight = Response(
                status_code=200,
                headers={
                    "access-control-allow-origin": "*",
                    "access-control-allow-methods": METHODS,
                    "access-control-allow-headers": requested or ALLOWED_HEADERS,
                    "access-control-max-age": "3600",
                    "vary": "access-control-request-headers",
                },
            )
            await preflight(scope, receive, send)
            return

        async def send_exposed(message: Message) -> None:
            if message["type"] == "http.response.start":
                outgoing = MutableHeaders(scope=message)
                outgoing["access-control-allow-origin"] = "*"
                outgoing["access-control-expose-headers"] = EXPOSED_HEADERS
            await send(message)

        await self.app(scope, receive, send_exposed)
