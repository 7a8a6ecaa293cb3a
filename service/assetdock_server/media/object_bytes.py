"""Reads the bytes of an object through its signed URL: a range of them, or all of them for their SHA-256."""

import asyncio
import hashlib
from collections.abc import Callable

from pyreqwest.client import Client
from pyreqwest.exceptions import PyreqwestError

from assetdock_server.media.report import TransientError

CHUNK = 256 * 1024
MIN_BYTES_PER_SECOND = 1024 * 1024  # a slower response means that Storage has a problem
MIN_SECONDS = 60.0


async def sha256(client: Client, url: str, size: int) -> str:
    """The digest of an object of `size` bytes, in lower-case hexadecimal. Raises TransientError."""
    digest = hashlib.sha256()
    received = await _read(client, url, digest.update, max_bytes=size + 1)
    if received != size:
        raise TransientError(f"Storage sent {'more' if received > size else 'fewer'} bytes than the object has")
    return digest.hexdigest()


async def read_range(client: Client, url: str, start: int, length: int) -> bytes:
    """`length` bytes of an object from offset `start`; the object must have them. Raises TransientError."""
    received = bytearray()
    headers = {"Range": f"bytes={start}-{start + length - 1}"}
    if await _read(client, url, received.extend, max_bytes=length, headers=headers) < length:
        raise TransientError("Storage sent fewer bytes than the object has")
    return bytes(received[:length])


async def _read(
    client: Client,
    url: str,
    receive: Callable[[bytes], object],
    *,
    max_bytes: int,
    headers: dict[str, str] | None = None,
) -> int:
    """Passes the body to `receive` in chunks, up to about `max_bytes`, and returns the number of bytes received. The
    time limit grows with `max_bytes`. Raises TransientError for a failed or slow response.
    """
    received = 0
    try:
        async with (
            asyncio.timeout(MIN_SECONDS + max_bytes / MIN_BYTES_PER_SECOND),
            # "identity": a compressing proxy would change the bytes.
            client.get(url).headers({"Accept-Encoding": "identity", **(headers or {})}).build_streamed() as response,
        ):
            if response.status != (206 if headers else 200):
                raise TransientError(f"Storage responded with HTTP {response.status}")
            while received < max_bytes and (chunk := await response.body_reader.read(CHUNK)) is not None:
                receive(chunk.to_bytes())
                received += len(chunk)
    except TimeoutError as error:
        raise TransientError("Storage sent the bytes too slowly") from error
    except (PyreqwestError, OSError) as error:
        raise TransientError("the connection to Storage broke") from error
    return received
