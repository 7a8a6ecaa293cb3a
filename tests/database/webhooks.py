"""Webhook deliveries in the database, for tests that play the worker."""

from typing import Any

from tests.callers import Json
from tests.catalogue import Database


def delete(database: Database, asset_id: str) -> None:
    """Deletes an asset: one event asset.deleted."""
    database.execute("select assetdock_private.delete_asset(%s, now() + interval '30 days')", [asset_id])


def deliveries(database: Database, endpoint: Json) -> list[Any]:
    """Event type, state, state of the asset in the payload and attempts of each delivery, oldest first."""
    return database.execute(
        "select event_type, state, data ->> 'state', attempts from assetdock_private.webhook_deliveries"
        " where webhook_endpoint_id = %s order by id",
        [endpoint["id"]],
    ).fetchall()


def lease_delivery(database: Database) -> Json:
    """Leases the only open job of kind deliver, ignoring its schedule."""
    rows = database.execute(
        "update assetdock_private.jobs set lease_token = gen_random_uuid(), available_at = now() + interval '1 min'"
        " where kind = 'deliver' and finished_at is null"
        " returning jsonb_build_object('id', id, 'lease_token', lease_token)"
    ).fetchall()
    assert len(rows) == 1
    job: Json = rows[0][0]
    return job


def call(database: Database, function: str, job: Json, *arguments: Any) -> Json:
    """Calls a function about a leased job, as a worker."""
    placeholders = ", %s" * len(arguments)
    row = database.execute(
        f"select assetdock.{function}(%s, %s{placeholders})", [job["id"], job["lease_token"], *arguments]
    ).fetchone()
    assert row is not None
    result: Json = row[0]
    return result
