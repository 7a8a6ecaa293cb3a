"""Signed URLs: a JWT names the object, the purpose and the expiry."""

import time
from dataclasses import dataclass
from typing import Any, Literal

import jwt

from devstack.storage.errors import invalid_jwt, invalid_request, invalid_signature

Scope = Literal["upload", "download"]
DEFAULT_UPLOAD_SECONDS = 7200


@dataclass(frozen=True)
class SignedUrls:
    """Signs with a secret of its own, not with the project's signing key.

    ``upload_seconds`` applies to the whole instance; a request cannot change it.
    """

    secret: str
    upload_seconds: int = DEFAULT_UPLOAD_SECONDS

    def upload_token(self, path: str, owner: str | None, *, upsert: bool) -> str:
        claims = {"owner": owner, "url": path, "upsert": upsert, "scope": "upload"}
        return self._sign(claims, self.upload_seconds)

    def download_token(self, path: str, seconds: int) -> str:
        return self._sign({"url": path, "scope": "download"}, seconds)

    def verify(self, token: str | None, path: str, scope: Scope) -> dict[str, Any]:
        """The claims of a token for this object and purpose. Raises StorageError for any other token."""
        if not token:
            raise invalid_request("querystring must have required property 'token'")
        try:
            claims: dict[str, Any] = jwt.decode(token, self.secret, algorithms=["HS256"])
        except jwt.ExpiredSignatureError as error:
            raise invalid_jwt('"exp" claim timestamp check failed') from error
        except jwt.InvalidTokenError as error:
            raise invalid_jwt(str(error)) from error
        if claims.get("url") != path or claims.get("scope") != scope:
            raise invalid_signature("Invalid signature")
        return claims

    def _sign(self, claims: dict[str, Any], seconds: int) -> str:
        now = int(time.time())
        present = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode({**present, "iat": now, "exp": now + seconds}, self.secret, algorithm="HS256")
