"""The SHA-256 of an object, read once through its signed URL."""

import asyncio
import hashlib

import httpx

from service.errors import ApiError
from service.worker.media import TransientError

CHUNK = 256 * 1024
SLOWEST = 1024 * 1024  # bytes a second below which Storage counts as being in trouble
LEAST_SECONDS = 60.0
STALL = httpx.Timeout(15.0, connect=3.0, pool=15.0)


async def sha256(pool: httpx.AsyncClient, url: str, size: int) -> str:
    """The digest in lower-case hexadecimal. Holds one chunk at a time, and takes at most as long as `size` bytes may.

    Raises TransientError when the bytes don't all come: that says nothing about them.
    """
    digest, received = hashlib.sha256(), 0
    try:
        async with (
            asyncio.timeout(LEAST_SECONDS + size / SLOWEST),
            # As stored: a compressing proxy in between would change what is hashed.
            pool.stream("GET", url, headers={"Accept-Encoding": "identity"}, timeout=STALL) as answer,
        ):
            if answer.status_code != 200:
                raise TransientError(f"Storage answered HTTP {answer.status_code}")
            async for chunk in answer.aiter_raw(CHUNK):
                digest.update(chunk)
                received += len(chunk)
                if received > size:
                    break
    except TimeoutError as error:
        raise TransientError("Storage sent the bytes too slowly") from error
    except (httpx.HTTPError, httpx.StreamError, ApiError, OSError) as error:
        raise TransientError("the connection to Storage broke") from error
    if received != size:
        raise TransientError(f"Storage sent {'more' if received > size else 'fewer'} bytes than it has")
    return digest.hexdigest()
