"""The project's JWT signing key: parsing its setting, and signing with it."""

import json
from dataclasses import dataclass, field
from typing import Any

import jwt
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

# The private members of each key type (RFC 7518, sections 6.2.2 and 6.3.2).
PRIVATE_MEMBERS = {"EC": ("d",), "RSA": ("d", "p", "q")}


@dataclass(frozen=True)
class SigningKey:
    """Signs JWTs. `key` is a parsed key object: parsing it for each token would double the cost."""

    algorithm: str
    key: Any = field(repr=False)
    kid: str | None

    @classmethod
    def from_jwk(cls, jwk: dict[str, Any]) -> "SigningKey":
        """From a private JWK of type EC (P-256) or RSA. Raises ValueError whose message continues "SETTING …"."""
        kind = jwk["kty"]
        try:
            if kind == "EC" and jwk.get("crv") == "P-256":
                return cls("ES256", ECAlgorithm.from_jwk(jwk), jwk.get("kid"))
            if kind == "RSA":
                return cls("RS256", RSAAlgorithm.from_jwk(jwk), jwk.get("kid"))
        except (jwt.InvalidKeyError, ValueError, TypeError, KeyError) as error:
            raise ValueError("is a JWK with invalid key material") from error
        raise ValueError("is a JWK of an unsupported type; use EC P-256 (ES256) or RSA (RS256)")

    @classmethod
    def from_secret(cls, secret: bytes) -> "SigningKey":
        """Creates it from a shared HS256 secret."""
        return cls("HS256", secret, None)

    def sign(self, claims: dict[str, Any]) -> str:
        """Returns a signed JWT with the claims (RFC 7519)."""
        return jwt.encode(claims, self.key, self.algorithm, headers={"kid": self.kid} if self.kid is not None else None)


def read_private_jwk(text: str) -> dict[str, Any]:
    """A private JWK from JSON. Raises ValueError whose message continues "SETTING …", without the value."""
    try:
        jwk = json.loads(text)
    except ValueError:
        raise ValueError("is not JSON; it must be a private JWK") from None
    if isinstance(jwk, list) and len(jwk) == 1:  # `supabase gen signing-key` writes a list to a file
        jwk = jwk[0]
    if not isinstance(jwk, dict) or jwk.get("kty") not in PRIVATE_MEMBERS:
        raise ValueError("is not a JWK of type EC or RSA")
    if not all(isinstance(jwk.get(member), str) for member in PRIVATE_MEMBERS[jwk["kty"]]):
        raise ValueError("has no private part; a public key cannot sign")
    return jwk


def read_secret(text: str) -> bytes:
    """An HS256 secret. Raises ValueError whose message continues "SETTING …"."""
    secret = text.encode()
    if len(secret) < 32:  # RFC 7518, section 3.2: at least as long as the hash
        raise ValueError("is shorter than the 32 bytes that HS256 needs")
    return secret
