"""Verification of Supabase session JWTs."""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import jwt

from assetdock_server.errors import Unauthenticated
from assetdock_server.identity.jwks import Jwks

# The clock of this machine may differ from that of Auth. The database and Storage verify every token again, by their
# own clocks, with at most 30 s of leeway.
LEEWAY_SECONDS = 120
MAX_TOKEN = 8192
AUDIENCE = "authenticated"
CACHE_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Verified:
    """A verified token: its header, the key that verified it, its user, and its expiry in Unix seconds."""

    header: dict[str, Any]
    key: Any
    user_id: str
    expires_at: float


class SessionVerifier:
    """Verifies session JWTs of one project, and caches verified tokens by their hash. One instance per process.

    ES256 and RS256 are verified with the project's JWKS, HS256 only with the configured secret. The algorithm follows
    from the key, never from the token's header, so a public key cannot be used as an HMAC secret.

    The cache saves the signature check of every request but a token's first. It is safe: a cached token is accepted
    only until its expiry, and only while the key that verified it is current.
    """

    def __init__(self, *, issuer: str, jwks: Jwks, secret: bytes | None) -> None:
        self._issuer = issuer
        self._jwks = jwks
        self._secret = secret
        self._cache: OrderedDict[bytes, Verified] = OrderedDict()

    async def verify(self, token: str) -> str:
        """The user id of a valid session. Raises Unauthenticated, or `upstream_unavailable` without a key set."""
        if len(token) > MAX_TOKEN:
            raise Unauthenticated("The token is too long for a session token")
        digest = hashlib.sha256(token.encode()).digest()
        cached = self._cache.get(digest)
        header = cached.header if cached is not None else _header(token)
        key, algorithm = await self._key(header)
        if cached is not None and cached.key is key and time.time() - LEEWAY_SECONDS < cached.expires_at:
            return cached.user_id
        claims = self._claims(token, key, algorithm)
        self._cache[digest] = Verified(header, key, str(claims["sub"]), float(claims["exp"]))
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return str(claims["sub"])

    def _claims(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=AUDIENCE,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthenticated("The session has expired. Refresh it") from None
        except jwt.InvalidTokenError:
            raise Unauthenticated("The token is not a session of this project") from None
        if claims.get("role") != "authenticated":
            raise Unauthenticated("The token is not the session of a user")
        if "api_key_id" in claims:
            raise Unauthenticated("Tokens minted for API keys are not accepted. Send the API key")
        return claims

    async def _key(self, header: dict[str, Any]) -> tuple[Any, str]:
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret is not None:
            return self._secret, "HS256"
        kid = header.get("kid")
        if algorithm in ("ES256", "RS256") and isinstance(kid, str):
            key = await self._jwks.key(kid)
            if key is not None and key.algorithm == algorithm:
                return key.key, key.algorithm
        raise Unauthenticated("The token is not signed by a key of this project")


def _header(token: str) -> dict[str, Any]:
    try:
        return jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise Unauthenticated("The token is not a well-formed JWT") from None
