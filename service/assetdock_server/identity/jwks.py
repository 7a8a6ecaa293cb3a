"""The public keys of Supabase Auth, fetched seldom and kept when Auth is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import structlog
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from assetdock_server.errors import ApiError

FRESH_SECONDS = 600
READY_SECONDS = 5  # for readiness, a set that was fetched so lately can still be fetched
REFETCH_SECONDS = 60  # an unknown kid causes at most one fetch a minute, however many strangers invent one

log = structlog.get_logger()


@dataclass(frozen=True)
class PublicKey:
    """A verification key and the one algorithm it may be used with."""

    algorithm: str
    key: Any = field(repr=False)


class Jwks:
    """The key set by `kid`. `fetch` returns the parsed JWKS document. It raises ApiError or ValueError."""

    def __init__(self, fetch: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._fetch = fetch
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._under_way: asyncio.Task[bool] | None = None

    async def key(self, kid: str) -> PublicKey | None:
        """The key with this id, or None. Raises ApiError `upstream_unavailable` while no key set was ever had."""
        stale = self._fetched_at is None or time.monotonic() - self._fetched_at > FRESH_SECONDS
        if self._under_way is not None:
            if kid not in self._keys:  # what is being fetched may have it; who has a key need not wait
                await asyncio.shield(self._under_way)
        elif (stale or kid not in self._keys) and self._may_try():
            # A task of its own, so that a caller who gives up takes the answer from nobody. It ends with the fetch,
            # which has a timeout; nobody who waited for it fetches again.
            self._under_way = asyncio.create_task(self.refresh())
            self._under_way.add_done_callback(self._arrived)
            await asyncio.shield(self._under_way)
        if self._fetched_at is None:
            raise ApiError("upstream_unavailable", headers={"Retry-After": "5"})
        return self._keys.get(kid)

    @property
    def in_force(self) -> bool:
        """Whether there is a key set to verify sessions with, however old."""
        return self._fetched_at is not None

    async def require(self) -> None:
        """Returns when Auth hands out its key set, which is asked at most every few seconds.

        Raises ApiError `upstream_unavailable` when not, whether or not an older set is in force.
        """
        known = self._fetched_at is not None and time.monotonic() - self._fetched_at < READY_SECONDS
        if not known and not await self.refresh():
            raise ApiError("upstream_unavailable")

    async def refresh(self) -> bool:
        """Fetches the set; whether that worked. The last good one stays in force when not."""
        self._tried_at = time.monotonic()
        try:
            document = await self._fetch()
            keys = dict(_usable(document))
        except (ApiError, ValueError) as error:
            log.warning("jwks_unavailable", error=type(error).__name__)
            return False
        self._keys = keys
        self._fetched_at = time.monotonic()
        return True

    def _arrived(self, _: "asyncio.Task[bool]") -> None:
        self._under_way = None

    def _may_try(self) -> bool:
        # A first fetch that failed is tried again sooner: nobody can be let in before it worked.
        pause = REFETCH_SECONDS if self._fetched_at is not None else 1
        return self._tried_at is None or time.monotonic() - self._tried_at >= pause


def _usable(document: dict[str, Any]) -> list[tuple[str, PublicKey]]:
    """The keys of a JWKS that can verify sessions. Symmetric keys never come from a JWKS."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWKS")
    keys = []
    for jwk in document["keys"]:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
            continue
        try:
            if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
                keys.append((jwk["kid"], PublicKey("ES256", ECAlgorithm.from_jwk(_public(jwk)))))
            elif jwk.get("kty") == "RSA":
                keys.append((jwk["kid"], PublicKey("RS256", RSAAlgorithm.from_jwk(_public(jwk)))))
        except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
            log.warning("jwk_unusable", kid=jwk["kid"])
    return keys


def _public(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
