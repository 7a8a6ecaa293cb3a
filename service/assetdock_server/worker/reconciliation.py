"""`assetdock-server reconcile`: finds rows, objects and jobs that contradict each other.

SQL finds and repairs the discrepancies (migration `reconciliation`). This module reads the pages and asks Storage to
delete orphaned objects.
"""

import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import TextIO

import orjson
import structlog

from assetdock_server.config import BUCKET, WorkerSettings
from assetdock_server.errors import ApiError
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.refused_tokens import RefusedTokenError
from assetdock_server.gateways.storage import Storage
from assetdock_server.worker.results import DISCREPANCIES, OUTCOME, Discrepancy
from assetdock_server.worker.token import refusal

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
            Storage(
                pool,
                url=connection.storage_url,
                bytes_url=connection.bytes_url,
                publishable_key=connection.publishable_key,
            ),
            settings.token,
        )
        try:
            return await reconciliation.run(repair=repair)
        except RefusedTokenError as error:
            print(f"assetdock: {refusal(error, settings.token)}", file=sys.stderr)
            return 3
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
            arguments = {"cursor": cursor, "max": PAGE_SIZE}
            page = await self._postgrest.call(
                "find_discrepancies", arguments, DISCREPANCIES, token=self._token, idempotent=True
            )
            for discrepancy in page["items"]:
                yield discrepancy
            cursor = page["next_cursor"]

    async def _repair(self, discrepancy: Discrepancy) -> str:
        outcome = await self._repair_rows(discrepancy)
        if outcome == "delete_object":
            await self._storage.remove(self._token, BUCKET, discrepancy["subject"])
            outcome = await self._repair_rows(discrepancy)
        return "not_deleted" if outcome == "delete_object" else outcome

    async def _repair_rows(self, discrepancy: Discrepancy) -> str:
        target = {"kind": discrepancy["kind"], "subject": discrepancy["subject"]}
        response = await self._postgrest.call("repair_discrepancy", target, OUTCOME, token=self._token, idempotent=True)
        return response["outcome"]
