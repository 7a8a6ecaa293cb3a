"""Pagination of a long list while new assets are created."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from devstack.ports import Ports
from tests.callers import Caller, Project
from tests.processes import Service

ASSETS = 100_000
PAGE = 100


@pytest.fixture
def reader(owner: Caller, service_environment: dict[str, str]) -> Iterator[Caller]:
    """The owner, calling a service without a rate limit."""
    running = Service({**service_environment, "ASSETDOCK_RATE_LIMIT": "off"}, Ports.free().gateway)
    stack = owner.project
    project = Project(stack.supabase_url, stack.publishable_key, stack.secret_key, running.url)
    yield Caller(project, owner.credential, owner.owner_id)
    running.stop()


def test_lists_each_of_100_000_assets_exactly_once_while_new_ones_are_created(
    reader: Caller, database: psycopg.Connection[Any]
) -> None:
    # The ids are an hour old, so that these assets do not count toward the reservations per minute.
    database.execute(
        "insert into assetdock_app.assets (id, owner_id, type, reserved_by, upload_expires_at, finish_by)"
        " select encode(substring(uuid_send(assetdock_private.uuid7_floor(now() - interval '1 hour')) from 1 for 6)"
        "   || substring(uuid_send(assetdock_private.uuid7()) from 7), 'hex')::uuid,"
        "  %s, 'audio', 'session', now() - interval '1 s', now() + interval '1 hour' from generate_series(1, %s)",
        [reader.owner_id, ASSETS],
    )
    database.execute("analyze assetdock_app.assets")
    before = {
        str(row[0])
        for row in database.execute("select id from assetdock_app.assets where owner_id = %s", [reader.owner_id])
    }
    stop = threading.Event()
    created: list[str] = []

    def create_assets() -> None:
        creator = Caller(reader.project, reader.credential, reader.owner_id)
        while not stop.is_set():
            created.append(creator.reserve()["asset"]["id"])

    creation = threading.Thread(target=create_assets)
    creation.start()
    seen: list[str] = []
    cursor = None
    while True:
        page = reader.http.get("/assets", params={"limit": PAGE} | ({"cursor": cursor} if cursor else {})).json()
        seen += [asset["id"] for asset in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    stop.set()
    creation.join()

    assert len(before) == ASSETS
    assert len(created) > 10
    assert len(seen) == len(set(seen))
    assert before <= set(seen) <= before | set(created)
    assert seen == sorted(seen, reverse=True)
