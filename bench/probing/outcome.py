"""What became of assets: their states, durations and instants, as the database has them."""

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
    """One asset. The instants are the database's, when it wrote the change of state down."""

    state: str
    seconds: Decimal | None
    landed_at: datetime
    ready_at: datetime | None

    @property
    def milliseconds(self) -> float:
        """From landed to ready. Raises BenchError when it isn't."""
        if self.ready_at is None:
            raise BenchError(f"An asset is {self.state}, not ready.")
        return (self.ready_at - self.landed_at).total_seconds() * 1000


def wait(installation: Installation, asset_ids: Sequence[str], *, timeout: float, every: float = 0.1) -> None:
    """Until none of them is open any more. Raises BenchError when that takes too long."""
    deadline = time.monotonic() + timeout
    while (left := installation.rows(OPEN, list(asset_ids))[0][0]) > 0:
        if time.monotonic() > deadline:
            raise BenchError(f"{left} of {len(asset_ids)} assets were not probed within {timeout:.0f} s.")
        time.sleep(every)


def outcomes(installation: Installation, asset_ids: Sequence[str]) -> dict[str, Outcome]:
    """By asset id."""
    return {asset_id: Outcome(*rest) for asset_id, *rest in installation.rows(FOUND, list(asset_ids))}
