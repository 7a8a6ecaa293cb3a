"""A part of the gateway that another server answers: passed on as it comes, in both directions."""

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
SMALL = 64 * 1024  # bytes of a body that is passed on in one piece


class Forwarding:
    """To the server at ``base_url``; ``prefix`` is not passed on, nor are the headers ``withheld``. A server that is
    down is 503, as from the real gateway. Between `connected` only.
    """

    def __init__(self, base_url: str, prefix: str, withheld: frozenset[str] = frozenset()) -> None:
        self.base_url = base_url
        self.prefix = prefix
        self.withheld = HOP_BY_HOP | {"host"} | withheld
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Holds connections to the server, and closes them."""
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
            if name.decode("latin-1") not in self.withheld
        )
        path = request.scope["raw_path"].decode("latin-1").removeprefix(self.prefix)
        query = request.scope["query_string"].decode("latin-1")
        try:
            answer = await self._session.request(
                request.method,
                URL(f"{self.base_url}{path}?{query}" if query else f"{self.base_url}{path}", encoded=True),
                headers=headers,
                data=await _sent(request),
                allow_redirects=False,
            )
        except (aiohttp.ClientError, TimeoutError, ClientDisconnect):
            return JSONResponse({"message": "name resolution failed"}, 503)
        if answer.content_length is not None and answer.content_length <= SMALL:
            try:
                response = Response(await answer.read(), answer.status)
            except (aiohttp.ClientError, TimeoutError):
                return JSONResponse({"message": "name resolution failed"}, 503)
        else:
            response = StreamingResponse(_received(answer), answer.status)
        response.raw_headers = [
            (name.lower(), value)
            for name, value in answer.raw_headers
            if name.decode("latin-1").lower() not in HOP_BY_HOP
        ]
        return response


async def _sent(request: Request) -> bytes | AsyncIterator[bytes] | None:
    length = request.headers.get("content-length")
    if length is None:
        return request.stream() if "transfer-encoding" in request.headers else None
    return await request.body() if int(length) <= SMALL else request.stream()


async def _received(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        async for chunk in answer.content.iter_any():
            yield chunk
