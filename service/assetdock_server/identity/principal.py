"""Identifies the caller from the Authorization header, once per request."""

import re
from dataclasses import dataclass, field
from typing import Literal

from starlette.datastructures import Headers

from assetdock_server.errors import Unauthenticated
from assetdock_server.identity import api_key
from assetdock_server.identity.minting import Minter
from assetdock_server.identity.session import SessionVerifier

JWT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Principal:
    """A caller. `token` is its JWT for the database and Storage; `label` contains no secret and is for logs."""

    kind: Literal["session", "api_key"]
    owner_id: str
    token: str = field(repr=False)
    label: str


class Identification:
    """Identifies callers. The format of the token decides how it is verified."""

    def __init__(self, *, sessions: SessionVerifier, keys: api_key.Resolver, minter: Minter) -> None:
        self._sessions = sessions
        self._keys = keys
        self._minter = minter

    async def identify(self, headers: Headers) -> Principal:
        """The caller. Raises Unauthenticated, or the ApiError of a failed lookup."""
        token = bearer(headers)
        if token.startswith("rk_"):
            if not api_key.is_well_formed(token):
                raise Unauthenticated("The API key is mistyped or truncated: its checksum is wrong")
            key = await self._keys.resolve(token)
            minted = self._minter.for_api_key(key.api_key_id, key.owner_id)
            return Principal("api_key", key.owner_id, minted, key.prefix)
        if JWT.fullmatch(token):
            return Principal("session", await self._sessions.verify(token), token, "session")
        raise Unauthenticated("The token is neither an API key nor a session JWT")


def bearer(headers: Headers) -> str:
    """The bearer token (RFC 6750, section 2.1). Raises Unauthenticated unless there is exactly one."""
    values = headers.getlist("authorization")
    if not values:
        raise Unauthenticated(
            "The credential is missing. Send Authorization: Bearer with a session JWT or an API key", "invalid_request"
        )
    if len(values) > 1:
        raise Unauthenticated("The request has more than one Authorization header", "invalid_request")
    scheme, _, token = values[0].partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("The Authorization scheme must be Bearer", "invalid_request")
    if not token.strip(" "):
        raise Unauthenticated("The Authorization header has no token", "invalid_request")
    return token.strip(" ")
