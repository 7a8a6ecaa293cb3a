"""`assetdock-server reconcile`: finds rows, objects and jobs that contradict each other.

SQL finds and repairs the discrepancies (migration `reconciliation`). This module reads the pages and asks Storage to
delete orphaned objects.
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, TextIO

import orjson
import structlog

from assetdock_server.config import BUCKET, WorkerSettings
from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.storage import Storage

Discrepancy = dict[str, Any]
FIRST = "objects:"
PAGE_SIZE = 500

log = structlog.get_logger()


async def run(settings: WorkerSettings, *, repair: bool) -> int:
    """Reports discrepancies and repairs them if asked. Returns 0 when none is left, 1 when some are, and 3 when the
    search failed."""
    connection = settings.connection
    async with http_pool() as pool:
        reconciliation = Reconciliation(
            Postgrest(pool, url=connection.rest_url, publishable_key=connection.publishable_key),
            Storage(pool, url=connection.storage_url, publishable_key=connection.publishable_key),
            settings.token,
        )
        try:
            return await reconciliation.run(repair=repair)
        except ApiError as error:
            print(f"assetdock: reconcile stopped: {error.code}: {error.text}", file=sys.stderr)
            return 3


class Reconciliation:
    """One pass over objects, assets, jobs and owners."""

    def __init__(self, postgrest: Postgrest, storage: Storage, token: str) -> None:
        self._postgrest = postgrest
        self._storage = storage
        self._token = token

    async def run(self, *, repair: bool, report: TextIO = sys.stdout, summary: TextIO = sys.stderr) -> int:
        """Writes a line of JSON for each discrepancy, and a summary. Returns the exit code. Raises ApiError."""
        found: Counter[tuple[str, str]] = Counter()
        async for discrepancy in self._discrepancies():
            outcome = await self._repair(discrepancy) if repair else "found"
            report.write(orjson.dumps({**discrepancy, "outcome": outcome}).decode() + "\n")
            found[discrepancy["kind"], outcome] += 1
        left = sum(number for (_, outcome), number in found.items() if outcome != "repaired")
        for (kind, outcome), number in sorted(found.items()):
            summary.write(f"{number:>8}  {kind}: {outcome.replace('_', ' ')}\n")
        summary.write(f"{left} left, {found.total() - left} repaired.\n" if found else "Nothing is wrong.\n")
        return 1 if left else 0

    async def _discrepancies(self) -> AsyncIterator[Discrepancy]:
        cursor: str | None = FIRST
        while cursor is not None:
            page = await self._call("find_discrepancies", {"cursor": cursor, "max": PAGE_SIZE})
            for discrepancy in page["items"]:
                yield discrepancy
            cursor = page["next_cursor"]

    async def _repair(self, discrepancy: Discrepancy) -> str:
        target = {"kind": discrepancy["kind"], "subject": discrepancy["subject"]}
        outcome = await self._call("repair_discrepancy", target)
        if outcome["outcome"] == "delete_object":
            await self._storage.remove(self._token, BUCKET, discrepancy["subject"])
            outcome = await self._call("repair_discrepancy", target)
            if outcome["outcome"] == "delete_object":
                return "not_deleted"
        return str(outcome["outcome"])

    async def _call(self, function: str, arguments: dict[str, Any]) -> dict[str, Any]:
        response: dict[str, Any] = await self._postgrest.call(function, arguments, token=self._token, idempotent=True)
        return response
