"""Rows as a busy installation has them: assets of every state, with what hangs on them.

They are put in by sets, with triggers and foreign keys off (`session_replication_role`): what the functions would have
written in months is written in minutes. Everything lies in the past, so that no limit of the last minute is touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import psycopg

from bench.tables import rows

Distribution = Literal["one owner", "spread"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("one owner", "spread")
OWNERS = 10_000
# Who is measured while assets are spread. Each has the same number of assets however many there are in all, or a page
# would be fuller at a million than at ten thousand, and the times of different answers would be compared.
WATCHED = 20
WATCHED_ASSETS = 40
# Reservations whose window is open, of those who are measured: bounded by a limit, not by how many assets there are.
OPEN = 200
ASSETS_A_KEY = 10

# Those that grow with assets, keys or owners: reading one from end to end is what must not happen.
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
    """The rows of one database: `assets`, one of the `sizes` that are compared, and everything that belongs to them."""

    connection: psycopg.Connection[Any]
    distribution: Distribution
    assets: int
    sizes: Sequence[int]

    def fill(self) -> None:
        """Throws away what another distribution left, but for the users, their limits and endpoints; then fills,
        vacuums and analyzes."""
        self.connection.execute(
            "truncate assetdock_app.assets, assetdock_app.asset_events, assetdock_app.api_keys, assetdock_private.api_key_secrets, assetdock_private.jobs,"
            " assetdock_private.usage, storage.objects, assetdock_private.idempotency_keys, assetdock_private.webhook_deliveries cascade"
        )
        # Vacuumed by hand between rounds, so that none runs in the middle of one.
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
        """Takes away what was rolled back, in tables and indexes."""
        self.connection.execute("vacuum (index_cleanup on) " + ", ".join(GROWING))


def create_owners(connection: psycopg.Connection[Any]) -> None:
    """The users, and the tools of this benchmark in a schema of their own."""
    connection.execute(rows.TOOLS)
    with connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute(rows.USERS.encode(), {"owners": OWNERS})
