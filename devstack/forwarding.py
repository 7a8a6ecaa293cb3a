"""A part of the gateway that another server answers: passed on as it comes, in both directions."""

from collections.abc import AsyncIterator

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}


class Forwarding:
    """``client`` has the server as its base URL; ``prefix`` is not passed on, nor are the headers ``withheld``.
    A server that is down is 503, as from the real gateway.
    """

    def __init__(self, client: httpx.AsyncClient, prefix: str, withheld: frozenset[str] = frozenset()) -> None:
        self.client = client
        self.prefix = prefix
        self.withheld = HOP_BY_HOP | {"host"} | withheld

    async def forward(self, request: Request) -> Response:
        headers = [(name, value) for name, value in request.headers.raw if name.decode() not in self.withheld]
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        path = request.scope["raw_path"].decode("latin-1").removeprefix(self.prefix)
        query = request.scope["query_string"].decode("latin-1")
        upstream = self.client.build_request(
            request.method,
            f"{path}?{query}" if query else path,
            headers=headers,
            content=request.stream() if has_body else None,
        )
        try:
            answer = await self.client.send(upstream, stream=True)
        except (httpx.TransportError, ClientDisconnect):
            return JSONResponse({"message": "name resolution failed"}, 503)
        response = StreamingResponse(_body(answer), answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.decode().lower() not in HOP_BY_HOP
        ]
        return response


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
