"""SUPABASE_WORKER_TOKEN: when it expires, and what to do when an upstream server refuses it."""

import time
from datetime import UTC, datetime
from typing import Any

import jwt
import structlog

from assetdock_server.config import ConfigError
from assetdock_server.errors import ApiError
from assetdock_server.gateways.refused_tokens import RefusedTokenError
from assetdock_server.worker import counters
from assetdock_server.worker.queue import Queue

ADVICE = (
    "Create a token with `assetdock-server mint-worker-token` and the current signing key, and check the "
    "clocks of this machine and of the project."
)

log = structlog.get_logger()


def count_down(token: str) -> None:
    """Shows the seconds until the token expires as a metric. Nothing renews the token while the worker runs."""
    expires_at = _expiry(token)
    if expires_at is not None:
        counters.token_expires_in.set_function(lambda: expires_at - time.time())


async def check(queue: Queue, token: str) -> None:
    """Raises ConfigError if PostgREST refuses the token. A database that is down is no reason to stop."""
    try:
        await queue.ping()
    except RefusedTokenError as error:
        raise ConfigError(refusal(error, token)) from error
    except ApiError as error:
        log.warning("token_not_checked", code=error.code)


def log_refusal(error: RefusedTokenError, token: str) -> None:
    """The worker continues, because the operator may correct a clock or add a key."""
    log.error("worker_token_refused", reason=error.upstream_message, expires_at=_expires(token), advice=ADVICE)


def refusal(error: RefusedTokenError, token: str) -> str:
    """One line for the operator."""
    return f"SUPABASE_WORKER_TOKEN is refused ({error.upstream_message}). It expires at {_expires(token)}. {ADVICE}"


def _expires(token: str) -> str:
    expires_at = _expiry(token)
    return "no time" if expires_at is None else datetime.fromtimestamp(expires_at, UTC).isoformat()


def _expiry(token: str) -> float | None:
    """The claim `exp` in Unix seconds. Not verified: it is our own token."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    expires_at = claims.get("exp")
    return float(expires_at) if isinstance(expires_at, int | float) else None
