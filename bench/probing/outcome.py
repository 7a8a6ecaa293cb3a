"""States, durations and times of assets, read from the database."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from bench.installation import BenchError, Installation

OPEN = "select count(*) from assetdock_app.assets where id = any (%s) and state in ('pending_upload', 'processing')"
FOUND = """
select a.id::text, a.state, a.duration_seconds, landed.at, ready.at
from assetdock_app.assets a
left join assetdock_app.asset_events landed on landed.asset_id = a.id and landed.to_state = 'processing'
left join assetdock_app.asset_events ready on ready.asset_id = a.id and ready.to_state = 'ready'
where a.id = any (%s)
"""


@dataclass(frozen=True)
class Outcome:
    """One asset. The times are those of the database when it recorded the change of state."""

    state: str
    seconds: Decimal | None
    landed_at: datetime
    ready_at: datetime | None

    @property
    def milliseconds(self) -> float:
        """From landed to ready. Raises BenchError for an asset that is not ready."""
        if self.ready_at is None:
            raise BenchError(f"An asset is {self.state}, not ready.")
        return (self.ready_at - self.landed_at).total_seconds() * 1000


def wait(installation: Installation, asset_ids: Sequence[str], *, timeout: float, every: float = 0.1) -> None:
    """Waits until none of the assets is open. Raises BenchError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while (left := installation.rows(OPEN, list(asset_ids))[0][0]) > 0:
        if time.monotonic() > deadline:
            raise BenchError(f"{left} of {len(asset_ids)} assets were not probed within {timeout:.0f} s.")
        time.sleep(every)


def outcomes(installation: Installation, asset_ids: Sequence[str]) -> dict[str, Outcome]:
    """The outcome of each asset, by id."""
    return {asset_id: Outcome(*rest) for asset_id, *rest in installation.rows(FOUND, list(asset_ids))}
