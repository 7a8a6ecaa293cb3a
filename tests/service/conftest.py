"""Fixtures for tests of the service's parts."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop


@pytest.fixture(params=["uvloop", "asyncio"])
def either_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs the test on uvloop, which the service uses, and on asyncio, because their transports differ."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy() if request.param == "uvloop" else None)
    yield
    asyncio.set_event_loop_policy(None)
