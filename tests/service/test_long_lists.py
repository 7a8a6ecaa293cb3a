"""A list that is long, and grows while it is read."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from devstack.ports import Ports
from tests.callers import Caller, Project
from tests.processes import Service

MANY = 100_000
PAGE = 100


@pytest.fixture
def reader(owner: Caller, service_environment: dict[str, str]) -> Iterator[Caller]:
    """The owner at a service that does not limit the rate."""
    running = Service({**service_environment, "ASSETDOCK_RATE_LIMIT": "off"}, Ports.free().gateway)
    here = owner.project
    project = Project(here.supabase_url, here.publishable_key, here.secret_key, running.url)
    yield Caller(project, owner.credential, owner.owner_id)
    running.stop()


def test_each_of_100_000_assets_is_listed_exactly_once_while_new_ones_are_made(
    reader: Caller, database: psycopg.Connection[Any]
) -> None:
    owner = reader
    # An hour old by their ids, or they would use up the owner's reservations for this minute.
    database.execute(
        "insert into assetdock_app.assets (id, owner_id, type, reserved_by, upload_expires_at, finish_by)"
        " select encode(substring(uuid_send(assetdock_private.uuid7_floor(now() - interval '1 hour')) from 1 for 6)"
        "   || substring(uuid_send(assetdock_private.uuid7()) from 7), 'hex')::uuid,"
        "  %s, 'audio', 'session', now() - interval '1 s', now() + interval '1 hour' from generate_series(1, %s)",
        [owner.owner_id, MANY],
    )
    database.execute("analyze assetdock_app.assets")
    before = {
        str(row[0])
        for row in database.execute("select id from assetdock_app.assets where owner_id = %s", [owner.owner_id])
    }
    stop = threading.Event()
    made: list[str] = []

    def keep_making() -> None:
        maker = Caller(owner.project, owner.credential, owner.owner_id)
        while not stop.is_set():
            made.append(maker.reserve()["asset"]["id"])

    making = threading.Thread(target=keep_making)
    making.start()
    seen: list[str] = []
    cursor = None
    while True:
        page = owner.http.get("/assets", params={"limit": PAGE} | ({"cursor": cursor} if cursor else {})).json()
        seen += [asset["id"] for asset in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    stop.set()
    making.join()

    assert len(before) == MANY
    assert len(made) > 10
    assert len(seen) == len(set(seen))
    assert before <= set(seen) <= before | set(made)
    assert seen == sorted(seen, reverse=True)
