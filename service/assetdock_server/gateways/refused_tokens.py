"""Tokens that an upstream server refuses: the caller's are the caller's fault, our own never are."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

import structlog

from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.gateways.upstream_responses import unavailable
from assetdock_server.identity.minting import Minter

T = TypeVar("T")

log = structlog.get_logger()


class RefusedTokenError(ApiError):
    """503: an upstream server refused a token of ours. Callers of the gateways learn why from `reason`.

    `expired` and `premature` are judgements of the server's clock; `invalid` is everything else.
    """

    def __init__(self, upstream_message: str) -> None:
        super().__init__(
            "upstream_unavailable",
            "An upstream server rejects the credential of this service. Retry later. If it happens again, tell the "
            "operator.",
            headers={"Retry-After": "30"},
        )
        self.upstream_message = upstream_message
        self.reason = _reason(upstream_message)

    @property
    def readiness(self) -> str:
        """The state in GET /readyz. A token that was just minted can only be expired if a clock is wrong."""
        return "signing_key_refused" if self.reason == "invalid" else "clock_skew"


def _reason(message: str) -> Literal["expired", "premature", "invalid"]:
    """From the message of PostgREST 12 (`JWTIssuedAtFuture`) to 16 (`JWT issued at future`), or of Storage's jose."""
    text = message.lower()
    if "expired" in text or '"exp" claim' in text:
        return "expired"
    if "future" in text or "not yet" in text or "notyet" in text or '"nbf" claim' in text:
        return "premature"
    return "invalid"


async def call_with(token: str, call: Callable[[str], Awaitable[T]], minter: Minter | None) -> T:
    """Calls with the token. A refused token that `minter` minted is minted once more.

    Raises Unauthenticated if the refused token is the caller's session, and RefusedTokenError if it is our own.
    Without a minter, every token is our own: the worker's.
    """
    try:
        return await call(token)
    except RefusedTokenError as refusal:
        if minter is None:
            raise
        renewed = minter.renewed(token)
        if renewed is None:
            raise _refused_session(refusal) from refusal
    try:
        return await call(renewed)
    except RefusedTokenError as refusal:
        log.error(
            "minted_token_refused",
            reason=refusal.reason,
            upstream_message=refusal.upstream_message,
            advice=_advice(refusal, minter.setting),
        )
        raise


def _refused_session(refusal: RefusedTokenError) -> Exception:
    """The service has verified the session before, with the key set of Auth."""
    if refusal.reason == "expired":
        return Unauthenticated("The session has expired. Refresh it")
    if refusal.reason == "premature":
        return unavailable()  # the clocks of Auth and of this server differ
    return Unauthenticated("The credential is invalid or expired")


def _advice(refusal: RefusedTokenError, setting: str) -> str:
    if refusal.readiness == "clock_skew":
        return "The clock of this machine and that of the upstream server differ by minutes. Set the clock by NTP."
    return (
        f"The project does not know {setting}, or it was revoked. Compare it with Project Settings > JWT Keys, and "
        "start the service again."
    )
