"""Reads the bytes of an object through its signed URL: all of them for their SHA-256, or a few."""

import asyncio
import hashlib
from collections.abc import Callable

from pyreqwest.client import Client
from pyreqwest.exceptions import PyreqwestError

from assetdock_server.media.report import TransientError

CHUNK = 256 * 1024
SLOWEST = 1024 * 1024  # bytes a second below which Storage counts as being in trouble
LEAST_SECONDS = 60.0


async def sha256(client: Client, url: str, size: int) -> str:
    """The digest of an object of `size` bytes, in lower-case hexadecimal. Raises TransientError."""
    digest = hashlib.sha256()
    received = await _read(client, url, digest.update, enough=size + 1)
    if received != size:
        raise TransientError(f"Storage sent {'more' if received > size else 'fewer'} bytes than it has")
    return digest.hexdigest()


async def piece(client: Client, url: str, start: int, length: int) -> bytes:
    """`length` bytes of an object that has them, from `start` on. Raises TransientError."""
    received = bytearray()
    wanted = {"Range": f"bytes={start}-{start + length - 1}"}
    if await _read(client, url, received.extend, enough=length, headers=wanted) < length:
        raise TransientError("Storage sent fewer bytes than it has")
    return bytes(received[:length])


async def _read(
    client: Client,
    url: str,
    receive: Callable[[bytes], object],
    *,
    enough: int,
    headers: dict[str, str] | None = None,
) -> int:
    """Hands on what comes until it is `enough`, holding one chunk at a time, and takes at most as long as so many bytes
    may; how many there were. Raises TransientError when they don't all come: that says nothing about them.
    """
    received = 0
    try:
        async with (
            asyncio.timeout(LEAST_SECONDS + enough / SLOWEST),
            # As stored: a compressing proxy in between would change what is read.
            client.get(url).headers({"Accept-Encoding": "identity", **(headers or {})}).build_streamed() as answer,
        ):
            if answer.status != (206 if headers else 200):
                raise TransientError(f"Storage answered HTTP {answer.status}")
            while received < enough and (chunk := await answer.body_reader.read(CHUNK)) is not None:
                receive(chunk.to_bytes())
                received += len(chunk)
    except TimeoutError as error:
        raise TransientError("Storage sent the bytes too slowly") from error
    except (PyreqwestError, OSError) as error:
        raise TransientError("the connection to Storage broke") from error
    return received
