"""The stack's keys: made once, kept in its state directory, read by the gateway."""

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

from devstack.private_file import write_private

TEN_YEARS = 10 * 365 * 24 * 3600
Claims = dict[str, Any]


@dataclass(frozen=True)
class Keys:
    """``signing_jwk`` is a private ES256 JWK with ``kid``. With ``jwt_secret`` (HS256, as legacy projects
    have) the stack signs with that; tokens signed with either are accepted.
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
        """The keys of this state directory, made on the first call. ``jwt_secret`` None leaves the kept
        one.
        """
        file = state / "keys.json"
        kept = cls(**json.loads(file.read_text())) if file.exists() else None
        keys = kept or cls.generate()
        if jwt_secret is not None:
            keys = replace(keys, jwt_secret=jwt_secret)
        if keys != kept:
            write_private(file, json.dumps(asdict(keys), indent=2))
        return keys

    @property
    def public_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """What Auth publishes: verification needs no secret."""
        public = {name: value for name, value in self.signing_jwk.items() if name != "d"}
        return {"keys": [{**public, "key_ops": ["verify"], "use": "sig", "ext": True}]}

    @property
    def verifying_jwks(self) -> dict[str, list[dict[str, Any]]]:
        """What PostgREST gets: the public key, and the HS256 secret when there is one."""
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
        """The JWT that the gateway puts in the place of an API key."""
        now = int(time.time())
        return self.sign({"iss": "supabase", "role": role, "iat": now, "exp": now + TEN_YEARS})

    def verify(self, token: str) -> Claims:
        """The claims of a token signed by one of our keys, unexpired. Raises jwt.InvalidTokenError."""
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
