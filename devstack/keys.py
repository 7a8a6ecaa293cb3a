"""The stack's keys, generated once and stored in the state directory."""

import base64
import json
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from devstack.secret_files import write_secret_file

TEN_YEARS = 10 * 365 * 24 * 3600
Claims = dict[str, Any]


@dataclass(frozen=True)
class Keys:
    """``signing_jwk`` is a private ES256 JWK with ``kid``. With ``jwt_secret`` (HS256, as in legacy projects) the stack
    signs with the secret and accepts tokens signed with either.
    """

    signing_jwk: dict[str, str]
    publishable_key: str
    secret_key: str
    url_signing_secret: str
    jwt_secret: str | None = None

    @classmethod
    def generate(cls) -> "Keys":
        return cls(
            signing_jwk=_new_signing_jwk(),
            publishable_key=f"sb_publishable_{_random(16)}_{_random(6)}",
            secret_key=f"sb_secret_{_random(16)}_{_random(6)}",
            url_signing_secret=_random(48),
        )

    @classmethod
    def of(cls, state: Path, jwt_secret: str | None = None) -> "Keys":
        """The keys of a state directory, generated on the first call. ``jwt_secret`` None keeps the stored secret."""
        file = state / "keys.json"
        stored = cls(**json.loads(file.read_text())) if file.exists() else None
        keys = stored or cls.generate()
        if jwt_secret is not None:
            keys = replace(keys, jwt_secret=jwt_secret)
        if keys != stored:
            write_secret_file(file, json.dumps(asdict(keys), indent=2))
        return keys

    @property
    def public_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public keys that Auth publishes."""
        public = {name: value for name, value in self.signing_jwk.items() if name != "d"}
        return {"keys": [{**public, "key_ops": ["verify"], "use": "sig", "ext": True}]}

    @property
    def verifying_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The keys for PostgREST: the public key, and the HS256 secret if there is one."""
        keys = list(self.public_jwks["keys"])
        if self.jwt_secret is not None:
            encoded = base64.urlsafe_b64encode(self.jwt_secret.encode()).rstrip(b"=").decode()
            keys.append({"kty": "oct", "alg": "HS256", "k": encoded})
        return {"keys": keys}

    def sign(self, claims: Claims) -> str:
        if self.jwt_secret is not None:
            return jwt.encode(claims, self.jwt_secret, algorithm="HS256")
        return self.sign_es256(claims)

    def sign_es256(self, claims: Claims) -> str:
        private = ECAlgorithm.from_jwk(self.signing_jwk)
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise TypeError("signing_jwk is not a private key")
        return jwt.encode(claims, private, algorithm="ES256", headers={"kid": self.signing_jwk["kid"]})

    def role_token(self, role: Literal["anon", "service_role"]) -> str:
        """The JWT with which the gateway replaces an API key."""
        now = int(time.time())
        return self.sign({"iss": "supabase", "role": role, "iat": now, "exp": now + TEN_YEARS})

    def verify(self, token: str) -> Claims:
        """The claims of a valid token. Raises jwt.InvalidTokenError for a foreign or expired token."""
        algorithm = jwt.get_unverified_header(token).get("alg")
        options: Any = {"verify_aud": False}
        if algorithm == "HS256" and self.jwt_secret is not None:
            return dict(jwt.decode(token, self.jwt_secret, algorithms=["HS256"], options=options))
        public = jwt.PyJWK(self.public_jwks["keys"][0], algorithm="ES256")
        return dict(jwt.decode(token, public, algorithms=["ES256"], options=options))


def _new_signing_jwk() -> dict[str, str]:
    private = ec.generate_private_key(ec.SECP256R1())
    jwk = ECAlgorithm.to_jwk(private, as_dict=True)
    return {**jwk, "kid": secrets.token_hex(16), "alg": "ES256"}


def _random(size: int) -> str:
    return secrets.token_urlsafe(size)
