"""A stand-in for Auth's key set, and a verifier of sessions that uses it."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.session import SessionVerifier

ISSUER = "https://project.example/auth/v1"
Document = dict[str, Any]


class Auth:
    """A stand-in for Auth. It publishes keys, counts the requests (`fetches`) and responds with what a test sets.

    `delay` is in seconds. `open` is an event: while it is not set, no request gets its response.
    """

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.fetches = 0
        self.delay = 0.0
        self.open = asyncio.Event()
        self.open.set()
        self.respond: Callable[[], Any] = self.document

    def rotate(self, kid: str, *, keep_old: bool = True) -> None:
        self.keys = {**(self.keys if keep_old else {}), kid: ec.generate_private_key(ec.SECP256R1())}

    def document(self) -> Document:
        return {
            "keys": [
                {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "ES256"}
                for kid, key in self.keys.items()
            ]
        }

    async def fetch(self) -> Document:
        self.fetches += 1
        await asyncio.sleep(self.delay)
        await self.open.wait()
        response = self.respond()
        if isinstance(response, Exception):
            raise response
        document: Document = response
        return document

    def token(self, kid: str, /, **header: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": now + 60}
        return jwt.encode(claims, self.keys[kid], "ES256", headers={"kid": kid, **header})


def verifier(auth: Auth) -> SessionVerifier:
    return SessionVerifier(issuer=ISSUER, jwks=Jwks(auth.fetch), secret=None)
