"""One attempt to deliver a webhook: a POST to somebody else's server, which may do anything."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from yarl import URL

from assetdock_server.webhooks.target import Pinned, UnusableTargetError, resolve

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0  # with the look-up of the name; what the specification recommends at least
READ_AT_MOST = 1024  # bytes of an answer, for the excerpt
EXCERPT = 120  # characters


@dataclass(frozen=True)
class Attempt:
    """How it ended. No `status` when there was no answer; no `error` when it was accepted."""

    status: int | None
    duration_ms: int
    error: str | None


async def send(
    url: str, body: bytes, headers: Mapping[str, str], *, loopback: bool = False, seconds: float = TOTAL_SECONDS
) -> Attempt:
    """POSTs the body. Whatever goes wrong is an Attempt with an error, a sentence for the endpoint's owner."""
    started = time.monotonic()
    status, error = None, None
    try:
        async with asyncio.timeout(seconds):
            status, error = await _post(URL(url, encoded=True), body, headers, loopback=loopback)
    except UnusableTargetError as unusable:
        error = str(unusable)
    except aiohttp.ConnectionTimeoutError:
        error = f"The connection could not be opened within {CONNECT_SECONDS:g} seconds."
    except TimeoutError:
        error = f"No answer within {seconds:g} seconds."
    except aiohttp.ClientConnectorCertificateError:
        error = "The TLS certificate is not valid for this host."
    except aiohttp.ClientSSLError:
        error = "TLS could not be agreed on."
    except aiohttp.ClientConnectorError:
        error = "The connection could not be opened."
    except (aiohttp.ClientConnectionError, OSError):
        error = "The connection broke before there was an answer."
    except (aiohttp.ClientError, ValueError):
        error = "The answer is not HTTP."
    return Attempt(status, round((time.monotonic() - started) * 1000), error)


async def _post(url: URL, body: bytes, headers: Mapping[str, str], *, loopback: bool) -> tuple[int, str | None]:
    if url.host is None or url.port is None:
        raise UnusableTargetError("The URL has no host.")
    addresses = await resolve(url.host, url.port, loopback=loopback)
    # A session for each attempt: nothing of one receiver (connections, cookies) is there for the next.
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=Pinned(addresses), use_dns_cache=False, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_AT_MOST,
        ) as session,
        session.post(
            url,
            data=body,
            headers={
                **headers,
                "Content-Type": "application/json",
                "User-Agent": "Assetdock-Webhooks/1",
                "Accept-Encoding": "identity",
            },
            allow_redirects=False,
        ) as answer,
    ):
        try:
            return answer.status, await _objection(answer)
        finally:
            answer.close()  # without reading on


async def _objection(answer: aiohttp.ClientResponse) -> str | None:
    """What is wrong with an answer; None when it is 2xx."""
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        return f"Answered {answer.status}. Redirects are not followed: register the URL that answers."
    try:
        async with asyncio.timeout(1):
            start = await answer.content.read(READ_AT_MOST)
    except (TimeoutError, aiohttp.ClientError, OSError):
        start = b""
    return f"Answered {answer.status}. {excerpt(start)}".rstrip()


def excerpt(data: bytes) -> str:
    """A little of an answer, fit to be shown: printable characters on one line."""
    text = data[:READ_AT_MOST].decode("utf-8", "ignore")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= EXCERPT else line[: EXCERPT - 1] + "…"
