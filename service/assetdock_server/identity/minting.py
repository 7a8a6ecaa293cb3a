"""Mints short-lived JWTs for API keys and for the role that looks up keys.

The database checks on every call whether a key is valid (`assetdock_private.require`), so a token can be reused until
shortly before its expiry. PostgREST caches verified tokens, so a reused ES256 token costs much less to verify.
"""

import time
from collections import OrderedDict

import jwt

from assetdock_server.identity.signing import SigningKey

ISSUER = "assetdock"  # not the issuer of Supabase Auth, so that these tokens are not accepted as sessions
LIFETIME = 300
# A token is reused for two minutes. The rest of its life is for a clock that is slow: an upstream server whose clock
# is up to three minutes ahead of ours still accepts the token. A fast clock needs nothing, because no token has `iat`
# or `nbf`: PostgREST rejects tokens that were issued more than 30 s in its future.
RENEW_BEFORE = 180
CACHE_SIZE = 10_000


class Minter:
    """Mints tokens and caches them. One instance per process."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def for_api_key(self, api_key_id: str, owner_id: str) -> str:
        """A token that identifies the caller to the database as this key of this owner."""
        return self._cached(api_key_id, {"role": "authenticated", "sub": owner_id, "api_key_id": api_key_id})

    def for_gateway(self) -> str:
        """A token of the role assetdock_gateway, which calls the functions that need no owner."""
        return self._cached("assetdock_gateway", {"role": "assetdock_gateway"})

    @property
    def setting(self) -> str:
        """The name of the setting that the key comes from."""
        return "SUPABASE_JWT_SECRET" if self._key.algorithm == "HS256" else "SUPABASE_SIGNING_KEY"

    def renewed(self, refused: str) -> str | None:
        """A new token with the claims of one that an upstream server refused, or None if we did not mint it.

        A token can be refused within its reuse: after a suspension of this machine, during which the monotonic clock
        stood still, or after a change of the clock.
        """
        try:
            claims = jwt.decode(refused, options={"verify_signature": False})
        except jwt.InvalidTokenError:
            return None
        if claims.get("iss") != ISSUER:
            return None
        name = claims.get("api_key_id", claims["role"])
        if self._tokens.get(name, ("", 0.0))[0] == refused:  # otherwise another call has renewed it already
            del self._tokens[name]
        return self._cached(name, {claim: claims[claim] for claim in ("role", "sub", "api_key_id") if claim in claims})

    def for_worker(self, days: int) -> str:
        """A token of the role assetdock_worker, for SUPABASE_WORKER_TOKEN."""
        return self._sign({"role": "assetdock_worker"}, days * 86_400)

    def _cached(self, name: str, claims: dict[str, object]) -> str:
        token, renew_at = self._tokens.get(name, ("", 0.0))
        if renew_at <= time.monotonic():
            token = self._sign(claims, LIFETIME)
            self._tokens[name] = (token, time.monotonic() + LIFETIME - RENEW_BEFORE)
            while len(self._tokens) > CACHE_SIZE:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(name)
        return token

    def _sign(self, claims: dict[str, object], lifetime: int) -> str:
        return self._key.sign({"iss": ISSUER, "aud": "authenticated", "exp": int(time.time()) + lifetime, **claims})
