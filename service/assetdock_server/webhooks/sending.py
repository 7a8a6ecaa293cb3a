"""One attempt to deliver a webhook: a POST to a receiver that may respond with anything, or not at all."""

import asyncio
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from pyreqwest.exceptions import BodyDecodeError, BuilderError, DecodeError, PyreqwestError, RequestTimeoutError
from pyreqwest.http import Url
from pyreqwest.response import Response

from assetdock_server.http_client import causes, client_builder, failed_to_connect
from assetdock_server.webhooks.target import Address, LookUp, UnusableTargetError, resolve

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 15.0  # with the DNS look-up; the least that Standard Webhooks recommends
MAX_READ_BYTES = 1024  # of a response, for the excerpt
EXCERPT_LENGTH = 120  # characters
MAX_ADDRESSES = 2  # that are tried, of both address families if the host has both


@dataclass(frozen=True)
class Attempt:
    """The result. `status` is None without a response; `error` is None when the receiver accepted the webhook."""

    status: int | None
    duration_ms: int
    error: str | None


async def send(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    loopback: bool = False,
    seconds: float = TOTAL_SECONDS,
    look_up: LookUp = socket.getaddrinfo,
) -> Attempt:
    """POSTs the body. Every failure is an Attempt with an error, a sentence for the owner of the endpoint."""
    started = time.monotonic()
    status, error = None, None
    try:
        async with asyncio.timeout(seconds):
            status, error = await _post(url, body, headers, loopback=loopback, seconds=seconds, look_up=look_up)
    except UnusableTargetError as unusable:
        error = str(unusable)
    except PyreqwestError as failure:
        error = _explain(failure, seconds)
    except TimeoutError:
        error = f"No response within {seconds:g} seconds."
    return Attempt(status, round((time.monotonic() - started) * 1000), error)


async def _post(
    url: str, body: bytes, headers: Mapping[str, str], *, loopback: bool, seconds: float, look_up: LookUp
) -> tuple[int, str | None]:
    # The client's own parser, so that the checked host is the one it connects to.
    try:
        target = Url(url)
    except ValueError:
        raise UnusableTargetError("The URL is not valid.") from None
    host, port = target.host_str, target.port_or_known_default
    if not host or port is None:
        raise UnusableTargetError("The URL has no host.")
    addresses = await resolve(host.strip("[]"), port, loopback=loopback, look_up=look_up)
    first, *rest = addresses
    *others, last = [first, *sorted(rest, key=lambda each: each.version == first.version)][:MAX_ADDRESSES]
    limits = {"seconds": seconds, "connect_seconds": CONNECT_SECONDS / (len(others) + 1)}
    for address in others:
        try:
            return await _post_to(address, target, body, headers, **limits)
        except PyreqwestError as failure:
            if not failed_to_connect(failure):
                raise
    return await _post_to(last, target, body, headers, **limits)


async def _post_to(
    address: Address, url: Url, body: bytes, headers: Mapping[str, str], *, seconds: float, connect_seconds: float
) -> tuple[int, str | None]:
    """The status, and the error for the endpoint's owner. Connects to `address` without resolving the host again. TLS
    verifies the host's name.
    """
    # One client per attempt: receivers share no connections and no cookies.
    builder = client_builder().resolve(url.host_str or "", str(address), url.port_or_known_default or 0)
    builder = builder.timeout(timedelta(seconds=seconds)).connect_timeout(timedelta(seconds=connect_seconds))
    async with builder.build() as client:
        request = client.post(url).body_bytes(body).streamed_read_buffer_limit(0)
        request = request.headers(
            {
                **headers,
                "Content-Type": "application/json",
                "User-Agent": "Assetdock-Webhooks/1",
                "Accept-Encoding": "identity",
            }
        )
        async with request.build_streamed() as response:
            return response.status, await _rejection(response)


async def _rejection(response: Response) -> str | None:
    """Why a response does not accept the webhook; None when it is 2xx."""
    status = response.status
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"Responded with {status}. Redirects are not followed: register the final URL."
    start = b""
    try:
        async with asyncio.timeout(1):
            while len(start) < MAX_READ_BYTES and (chunk := await response.body_reader.read_chunk()) is not None:
                start += chunk.to_bytes()
    except (TimeoutError, PyreqwestError):
        pass
    return f"Responded with {status}. {excerpt(start)}".rstrip()


def excerpt(data: bytes) -> str:
    """The start of a response in one line of printable characters."""
    text = data[:MAX_READ_BYTES].decode("utf-8", "ignore")
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= EXCERPT_LENGTH else line[: EXCERPT_LENGTH - 1] + "…"


def _explain(failure: PyreqwestError, seconds: float) -> str:
    if isinstance(failure, BuilderError):
        return "The URL is not valid."
    if isinstance(failure, DecodeError) and not isinstance(failure, BodyDecodeError):
        return "The response is not HTTP."
    if not failed_to_connect(failure):
        if isinstance(failure, RequestTimeoutError):
            return f"No response within {seconds:g} seconds."
        return "The connection broke before there was a response."
    if isinstance(failure, RequestTimeoutError):
        return f"The connection could not be opened within {CONNECT_SECONDS:g} seconds."
    if "tcp connect error" in causes(failure):
        return "The connection could not be opened."
    if any(cause.startswith("invalid peer certificate") for cause in causes(failure)):
        return "The TLS certificate is not valid for this host."
    return "The TLS handshake failed."
