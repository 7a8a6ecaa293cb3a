"""Fixtures for tests of the queue and of webhooks."""

from collections.abc import Iterator

import pytest

from tests.callers import Caller, Json
from tests.catalogue import Database
from tests.database.queue import land


@pytest.fixture
def reserved_id(owner: Caller, database: Database) -> Iterator[str]:
    """The id of a reserved asset, in a transaction with an empty queue that is rolled back. No worker sees it."""
    asset_id: str = owner.reserve()["asset"]["id"]
    with database.transaction(force_rollback=True):
        database.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'cancelled', lease_token = null"
            " where finished_at is null"
        )
        yield asset_id


@pytest.fixture
def asset_id(reserved_id: str, database: Database) -> str:
    """The id of a landed asset, in such a transaction. Its probe is the only job."""
    land(database, reserved_id)
    return reserved_id


@pytest.fixture
def endpoint(owner: Caller) -> Json:
    """A webhook endpoint that is subscribed to every event. Nothing listens at its URL."""
    return owner.create_endpoint("https://hooks.invalid/")
