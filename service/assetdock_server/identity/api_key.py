"""API keys: format, creation, and lookup of the owner.

`rk_live_` + 8 public characters + 32 secret characters + 6 characters of CRC-32 over all before them, in base62.
The checksum detects typos, and false positives of secret scanners, without a database query.
"""

import hashlib
import re
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from assetdock_server import metrics

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PREFIX = "rk_live_"
PATTERN = re.compile(PREFIX + r"[0-9A-Za-z]{46}")
PREFIX_LENGTH = 16
CHECKSUM_LENGTH = 6

CACHE_SECONDS = 30  # resolve_api_key updates last_used_at at most every 30 s, so it lags at most one minute
CACHE_SIZE = 10_000


@dataclass(frozen=True)
class NewApiKey:
    """A new key. `plaintext` is returned to the owner once and stored nowhere."""

    plaintext: str = field(repr=False)

    @property
    def prefix(self) -> str:
        """The public part, by which owners recognize a key."""
        return self.plaintext[:PREFIX_LENGTH]

    @property
    def sha256(self) -> str:
        """The digest that the database stores, in hexadecimal."""
        return digest(self.plaintext)


@dataclass(frozen=True)
class ResolvedKey:
    """A valid key and its owner."""

    api_key_id: str
    owner_id: str
    prefix: str


def make() -> NewApiKey:
    """A new key from the operating system's CSPRNG. The 32 secret characters hold 190 bits."""
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(40))
    return NewApiKey(body + checksum(body))


def is_well_formed(text: str) -> bool:
    """Whether the text has the format and the checksum of a key. The key need not exist."""
    return PATTERN.fullmatch(text) is not None and checksum(text[:-CHECKSUM_LENGTH]) == text[-CHECKSUM_LENGTH:]


def checksum(body: str) -> str:
    """CRC-32 in six base62 digits, most significant first."""
    value = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_LENGTH):
        value, digit = divmod(value, 62)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def digest(plaintext: str) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(plaintext.encode()).hexdigest()


class Resolver:
    """Looks up the owner of a key, and caches it by the key's hash for CACHE_SECONDS. One instance per process.

    The cache is safe, because the database checks on every call whether the key is still valid.
    """

    def __init__(self, look_up: Callable[[str], Awaitable[ResolvedKey]]) -> None:
        self._look_up = look_up
        self._cache: OrderedDict[str, tuple[ResolvedKey, float]] = OrderedDict()

    async def resolve(self, plaintext: str) -> ResolvedKey:
        """The key with its owner. Raises ApiError: `unauthenticated`, or the error of the database call."""
        sha256 = digest(plaintext)
        cached, expires_at = self._cache.get(sha256, (None, 0.0))
        hit = cached is not None and expires_at > time.monotonic()
        metrics.api_key_lookups.labels("hit" if hit else "miss").inc()
        if cached is None or not hit:
            self._cache.pop(sha256, None)
            cached = await self._look_up(sha256)
            self._cache[sha256] = (cached, time.monotonic() + CACHE_SECONDS)
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return cached
