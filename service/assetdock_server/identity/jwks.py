"""The public keys of Supabase Auth. They are fetched rarely, and kept while Auth is unreachable."""

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
READY_SECONDS = 5  # readiness counts a key set fetched this recently as reachable
# Unknown kids cause at most one fetch in this time, so strangers cannot flood Auth. The first one causes a fetch at
# once, whenever the last scheduled fetch was: a key set can be rotated without a standby period.
REFETCH_SECONDS = 10
FIRST_FETCH_SECONDS = 1  # pause between failed first fetches, because no session can be verified before one succeeds

log = structlog.get_logger()


@dataclass(frozen=True)
class PublicKey:
    """A verification key and its only allowed algorithm."""

    algorithm: str
    key: Any = field(repr=False)


class Jwks:
    """The key set by `kid`. `fetch` returns the parsed JWKS document. It raises ApiError or ValueError."""

    def __init__(self, fetch: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._fetch = fetch
        self._keys: dict[str, PublicKey] = {}
        self._fetched_at: float | None = None
        self._attempted_at = float("-inf")
        self._attempted_for_kid_at = float("-inf")
        self._refreshing: asyncio.Task[bool] | None = None

    async def key(self, kid: str) -> PublicKey | None:
        """The key with this id, or None. Raises ApiError `upstream_unavailable` before the first successful fetch."""
        if self._refreshing is not None:
            if kid not in self._keys:  # only an unknown key waits for the fetch in progress
                await asyncio.shield(self._refreshing)
        elif self._should_refresh(kid):
            # A separate task, so that a cancelled request does not cancel the fetch for the others. The fetch has a
            # timeout. Requests that waited for it do not fetch again.
            self._refreshing = asyncio.create_task(self.refresh())
            self._refreshing.add_done_callback(self._refreshed)
            await asyncio.shield(self._refreshing)
        if self._fetched_at is None:
            raise ApiError("upstream_unavailable", headers={"Retry-After": "5"})
        return self._keys.get(kid)

    @property
    def is_loaded(self) -> bool:
        """Whether there is a key set, of any age."""
        return self._fetched_at is not None

    async def require(self) -> None:
        """Checks that Auth serves its key set. Fetches at most every READY_SECONDS.

        Raises ApiError `upstream_unavailable` if it does not, even if an older key set is loaded.
        """
        is_recent = self._fetched_at is not None and time.monotonic() - self._fetched_at < READY_SECONDS
        if not is_recent and not await self.refresh():
            raise ApiError("upstream_unavailable")

    async def refresh(self) -> bool:
        """Fetches the key set. Returns False on failure, and keeps the previous key set."""
        self._attempted_at = time.monotonic()
        try:
            document = await self._fetch()
            keys = dict(_verification_keys(document))
        except (ApiError, ValueError) as error:
            log.warning("jwks_unavailable", error=type(error).__name__)
            return False
        self._keys = keys
        self._fetched_at = time.monotonic()
        return True

    def _refreshed(self, _: "asyncio.Task[bool]") -> None:
        self._refreshing = None

    def _should_refresh(self, kid: str) -> bool:
        now = time.monotonic()
        if self._fetched_at is None:
            return now - self._attempted_at >= FIRST_FETCH_SECONDS
        if kid not in self._keys and now - self._attempted_for_kid_at >= REFETCH_SECONDS:
            self._attempted_for_kid_at = now
            return True
        return now - self._fetched_at > FRESH_SECONDS and now - self._attempted_at >= REFETCH_SECONDS


def _verification_keys(document: dict[str, Any]) -> list[tuple[str, PublicKey]]:
    """The keys of a JWKS that can verify sessions. Symmetric keys are ignored."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError("not a JWKS")
    keys = []
    for jwk in document["keys"]:
        if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
            continue
        try:
            if jwk.get("kty") == "EC" and jwk.get("crv") == "P-256":
                keys.append((jwk["kid"], PublicKey("ES256", ECAlgorithm.from_jwk(_public_members(jwk)))))
            elif jwk.get("kty") == "RSA":
                keys.append((jwk["kid"], PublicKey("RS256", RSAAlgorithm.from_jwk(_public_members(jwk)))))
        except (jwt.InvalidKeyError, ValueError, TypeError, KeyError):
            log.warning("jwk_invalid", kid=jwk["kid"])
    return keys


def _public_members(jwk: dict[str, Any]) -> dict[str, Any]:
    return {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
