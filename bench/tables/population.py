"""The rows of a busy installation: assets in every state, and the rows that belong to them.

They are inserted in bulk with triggers and foreign keys off (`session_replication_role`), which takes minutes. All of
them lie in the past, so that they do not count towards limits per minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from bench.tables import rows

Distribution = Literal["one owner", "spread"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("one owner", "spread")
OWNERS = 10_000
# The owners that are measured when assets are spread. Each has the same number of assets at every size: otherwise a
# page of a list would hold more rows at a million assets, and the times of different results would be compared.
WATCHED = 20
WATCHED_ASSETS = 40
# Open reservations of the measured owners: a limit bounds them, whatever the number of assets.
OPEN = 200
ASSETS_A_KEY = 10

# Tables that grow with assets, keys or owners: no statement may scan one sequentially.
GROWING = (
    "assetdock_app.assets",
    "assetdock_app.asset_events",
    "assetdock_app.api_keys",
    "auth.users",
    "assetdock_private.api_key_secrets",
    "assetdock_private.idempotency_keys",
    "assetdock_private.jobs",
    "assetdock_private.usage",
    "storage.objects",
)


@dataclass(frozen=True)
class Population:
    """The rows of one database: `assets` (one of the compared `sizes`) and everything that belongs to them."""

    connection: psycopg.Connection[Any]
    distribution: Distribution
    assets: int
    sizes: Sequence[int]

    def fill(self) -> None:
        """Deletes the rows of the previous distribution except users, limits and webhook endpoints; then fills, vacuums
        and analyzes."""
        self.connection.execute(
            "truncate assetdock_app.assets, assetdock_app.asset_events, assetdock_app.api_keys,"
            " assetdock_private.api_key_secrets, assetdock_private.jobs, assetdock_private.usage, storage.objects,"
            " assetdock_private.idempotency_keys, assetdock_private.webhook_deliveries cascade"
        )
        # sweep() vacuums between rounds, so that no autovacuum runs during one.
        for table in GROWING:
            self.connection.execute(f"alter table {table} set (autovacuum_enabled = off)".encode())
        settings: dict[str, int | bool] = {
            "one": self.distribution == "one owner",
            "first": 1 - OPEN,
            "last": self.assets,
            "most": max(self.sizes),
            "spacing": max(1, min(self.sizes) // (WATCHED * WATCHED_ASSETS)),
            "owners": OWNERS,
            "watched": WATCHED,
            "watched_assets": WATCHED_ASSETS,
        }
        with self.connection.transaction():
            self.connection.execute("set local session_replication_role = replica")
            self.connection.execute(rows.PLAN.encode(), settings)
            self.connection.execute("analyze plan")
            self.connection.execute(rows.ASSETS.encode())
            self.connection.execute(rows.KEYS.encode(), {"owners": OWNERS, "keys": self.assets // ASSETS_A_KEY})
            self.connection.execute(rows.USAGE.encode(), {"owners": OWNERS})
        self.connection.execute("vacuum (analyze)")
        self.connection.execute("checkpoint")

    def sweep(self) -> None:
        """Removes dead rows from tables and indexes."""
        self.connection.execute("vacuum (index_cleanup on) " + ", ".join(GROWING))


def create_owners(connection: psycopg.Connection[Any]) -> None:
    """Creates the users, and the benchmark's functions in a schema of their own."""
    connection.execute(rows.TOOLS)
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute(rows.USERS.encode(), {"owners": OWNERS})
