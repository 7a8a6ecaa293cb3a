"""Short-lived JWTs of our own: for API keys, and for the role that looks keys up.

The database decides on every call whether a key lives (`assetdock_private.require`), so a token may be used again until it is
nearly over. PostgREST verifies an ES256 signature much faster when it has seen the token before.
"""

import time
from collections import OrderedDict

from assetdock_server.identity.signing import SigningKey

ISSUER = "assetdock"  # never Supabase Auth's: a token of ours must not pass for a session
LIFETIME = 300
RENEW_BEFORE = 60
REMEMBERED = 10_000


class Minter:
    """Mints and remembers tokens. One for the process."""

    def __init__(self, key: SigningKey) -> None:
        self._key = key
        self._tokens: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def for_api_key(self, api_key_id: str, owner_id: str) -> str:
        """A token with which the database knows the caller as this key of this owner."""
        return self._remembered(api_key_id, {"role": "authenticated", "sub": owner_id, "api_key_id": api_key_id})

    def for_gateway(self) -> str:
        """A token of the role assetdock_gateway, which can look up API keys and nothing else."""
        return self._remembered("assetdock_gateway", {"role": "assetdock_gateway"})

    def for_worker(self, days: int) -> str:
        """A token of the role assetdock_worker, for SUPABASE_WORKER_TOKEN."""
        return self._sign({"role": "assetdock_worker"}, days * 86_400)

    def _remembered(self, name: str, claims: dict[str, object]) -> str:
        token, renew_at = self._tokens.get(name, ("", 0.0))
        if renew_at <= time.monotonic():
            token = self._sign(claims, LIFETIME)
            self._tokens[name] = (token, time.monotonic() + LIFETIME - RENEW_BEFORE)
            while len(self._tokens) > REMEMBERED:
                self._tokens.popitem(last=False)
        self._tokens.move_to_end(name)
        return token

    def _sign(self, claims: dict[str, object], lifetime: int) -> str:
        now = int(time.time())
        return self._key.sign({"iss": ISSUER, "aud": "authenticated", "iat": now, "exp": now + lifetime, **claims})
