"""Forwards requests under one path prefix of the gateway to another server, streaming both bodies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from multidict import CIMultiDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from yarl import URL

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
MAX_BUFFERED_BODY = 64 * 1024  # bytes; larger bodies are streamed


class ReverseProxy:
    """Forwards to the server at ``base_url``, without ``prefix`` and the headers ``removed_headers``.

    An unreachable server is a 503, as on the real gateway. Usable only inside `connected`.
    """

    def __init__(self, base_url: str, prefix: str, removed_headers: frozenset[str] = frozenset()) -> None:
        self.base_url = base_url
        self.prefix = prefix
        self.removed_headers = HOP_BY_HOP | {"host"} | removed_headers
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Opens the connection pool and closes it at the end."""
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=100),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        ) as self._session:
            yield

    async def forward(self, request: Request) -> Response:
        if self._session is None:
            raise RuntimeError("not connected")
        headers = CIMultiDict(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in request.headers.raw
            if name.decode("latin-1") not in self.removed_headers
        )
        path = request.scope["raw_path"].decode("latin-1").removeprefix(self.prefix)
        query = request.scope["query_string"].decode("latin-1")
        try:
            upstream = await self._session.request(
                request.method,
                URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True),
                headers=headers,
                data=await _request_body(request),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, ClientDisconnect):
            return JSONResponse({"message": "name resolution failed"}, 503)
        if upstream.content_length is not None and upstream.content_length <= MAX_BUFFERED_BODY:
            try:
                response = Response(await upstream.read(), upstream.status)
            except (aiohttp.ClientError, TimeoutError):
                return JSONResponse({"message": "name resolution failed"}, 503)
        else:
            response = StreamingResponse(_response_body(upstream), upstream.status)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in upstream.raw_headers
            if name.decode("latin-1").lower() not in HOP_BY_HOP
        ]
        return response


async def _request_body(request: Request) -> bytes | AsyncIterator[bytes] | None:
    length = request.headers.get("content-length")
    if length is None:
        return request.stream() if "transfer-encoding" in request.headers else None
    return await request.body() if int(length) <= MAX_BUFFERED_BODY else request.stream()


async def _response_body(upstream: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with upstream:
        async for chunk in upstream.content.iter_any():
            yield chunk
