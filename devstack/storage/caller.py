"""The caller of a request: a role, and the claims that policies read."""

from dataclasses import dataclass

import jwt
from starlette.requests import Request

from devstack.keys import Claims, Keys
from devstack.storage.errors import access_denied, invalid_request


@dataclass(frozen=True)
class Caller:
    """``sub`` becomes ``owner`` and ``owner_id`` of the objects that the caller uploads."""

    role: str
    jwt: str
    claims: Claims

    @property
    def sub(self) -> str | None:
        sub = self.claims.get("sub")
        return str(sub) if sub else None

    @classmethod
    def of(cls, request: Request, keys: Keys) -> "Caller":
        """Raises StorageError (403 in the body, as on hosted) for a missing, invalid or expired token."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            raise invalid_request("headers must have required property 'authorization'")
        token = authorization.removeprefix("Bearer ").strip()
        try:
            claims = keys.verify(token)
        except jwt.ExpiredSignatureError as error:
            raise access_denied('"exp" claim timestamp check failed') from error
        except jwt.InvalidTokenError as error:
            raise access_denied(str(error) or "Invalid Compact JWS") from error
        return cls(str(claims.get("role") or "anon"), token, claims)

    @classmethod
    def service(cls, keys: Keys) -> "Caller":
        """Storage itself: `service_role` without a subject. Its token outlives the process."""
        token = keys.role_token("service_role")
        return cls("service_role", token, keys.verify(token))
