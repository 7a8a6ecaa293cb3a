"""What several tests of the service's parts share."""

import asyncio
from collections.abc import Iterator

import pytest
import uvloop


@pytest.fixture(params=["uvloop", "asyncio"])
def either_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each event loop in turn: uvloop is what the service runs on, and its transports are not asyncio's."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy() if request.param == "uvloop" else None)
    yield
    asyncio.set_event_loop_policy(None)
