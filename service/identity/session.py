"""Supabase session JWTs: which ones are let in."""

from typing import Any

import jwt

from service.errors import Unauthenticated
from service.identity.jwks import Jwks

LEEWAY_SECONDS = 10
LONGEST_TOKEN = 8192
AUDIENCE = "authenticated"


class SessionVerifier:
    """Verifies session JWTs of one project. One for the process.

    ES256 and RS256 by the project's JWKS, HS256 only with the configured secret: the algorithm follows from the key,
    never from the token's header, so a public key can't be played as an HMAC secret.
    """

    def __init__(self, *, issuer: str, jwks: Jwks, secret: bytes | None) -> None:
        self._issuer = issuer
        self._jwks = jwks
        self._secret = secret

    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a live session. Raises Unauthenticated, or `upstream_unavailable` without any key set."""
        if len(token) > LONGEST_TOKEN:
            raise Unauthenticated("The token is longer than any session token")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise Unauthenticated("The token is not a well-formed JWT") from None
        key, algorithm = await self._key(header)
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
