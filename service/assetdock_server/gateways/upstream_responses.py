"""Judges the responses of PostgREST, Storage and Auth: a result of the promised type, or an error.

A proxy may respond in place of the server, so neither the status nor the body is trusted alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
import structlog
from pydantic import TypeAdapter, ValidationError

from assetdock_server.errors import ApiError

T = TypeVar("T")

UNAVAILABLE_SECONDS = 2  # Retry-After of a failure that may end at any moment
RATE_LIMITED_SECONDS = 10
OPERATOR_SECONDS = 60  # Retry-After of a failure that lasts until the operator does something

log = structlog.get_logger()


@dataclass(frozen=True)
class TemporaryFailure:
    """What a status means for our caller: an error code, and a Retry-After if repeating at once does not help."""

    code: str
    retry_after: int | None = None


_unavailable = TemporaryFailure("upstream_unavailable", UNAVAILABLE_SECONDS)
_timeout = TemporaryFailure("upstream_timeout")  # the request may have succeeded

# The statuses of Supabase's servers and of the proxies in front of hosted projects (Cloudflare and Supabase's own).
TEMPORARY_FAILURES: Final[Mapping[int, TemporaryFailure]] = {
    429: TemporaryFailure("upstream_unavailable", RATE_LIMITED_SECONDS),  # the upstream server limits all our callers
    502: _unavailable,
    503: _unavailable,
    504: _timeout,
    520: _unavailable,  # the server closed the connection, or its response was invalid
    521: _unavailable,  # the server refused the connection
    522: _timeout,  # the connection to the server timed out
    523: _unavailable,  # the server has no route
    524: _timeout,  # the server did not respond in time
    530: _unavailable,  # the proxy cannot resolve the server's name
    540: TemporaryFailure("upstream_unavailable", OPERATOR_SECONDS),  # the project is paused
    544: _timeout,  # Storage's database did not respond in time
}


def temporary_failure(status: int) -> ApiError | None:
    """The error for a status that asks to try again."""
    failure = TEMPORARY_FAILURES.get(status)
    if failure is None:
        return None
    log.warning("upstream_failed", status=status, code=failure.code)
    return ApiError(failure.code, headers={"Retry-After": str(failure.retry_after)} if failure.retry_after else {})


def unavailable() -> ApiError:
    """503, with a Retry-After header."""
    return ApiError("upstream_unavailable", headers={"Retry-After": str(UNAVAILABLE_SECONDS)})


def read_result(promised: TypeAdapter[T], status: int, body: bytes, operation: str) -> T:
    """The result in a response with a 2xx status. Objects keep the fields that their type does not know.

    An empty 204 is None, and nothing else is. Raises ApiError `upstream_error` if the result is not of the promised
    type.
    """
    try:
        value = None if status == 204 and not body else _not_null(orjson.loads(body))
        return promised.validate_python(value, strict=True, extra="allow")
    except ValidationError as error:
        invalid = [".".join(map(str, each["loc"])) for each in error.errors(include_url=False, include_input=False)]
        log.error("invalid_upstream_response", operation=operation, status=status, fields=invalid[:5])
    except ValueError:
        log.error("invalid_upstream_response", operation=operation, status=status, size=len(body))
    raise ApiError("upstream_error")


def read_failure(promised: TypeAdapter[T], body: bytes) -> T | None:
    """The error in the body of another response. None if it is not one of the server, but of a proxy."""
    try:
        return promised.validate_json(body, strict=True)
    except ValidationError:
        return None


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("no function of ours returns null")
    return value
