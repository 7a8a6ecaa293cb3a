"""The service's memory under sustained load."""

import sys

from bench.processes import usage
from bench.report import Goal, Table
from bench.serving.load import Target, load
from bench.serving.owners import delete_reservations
from bench.serving.testbed import Testbed

CONNECTIONS = 16
MAX_BYTES = 120 * 2**20
MAX_GROWTH = 0.05  # relative to the first minute; allocators vary by this much without a leak


def measure_memory(testbed: Testbed, target: Target, minutes: int) -> tuple[Table, list[Goal]]:
    """Measures resident memory before the load and after each minute of it."""
    service = testbed.service
    resident = [usage(service.pid).resident_bytes]
    requests = 0.0
    for minute in range(minutes):
        for _ in range(6):
            requests += load(target, CONNECTIONS, 10).per_second * 10
            delete_reservations(testbed.stack)
        resident.append(usage(service.pid).resident_bytes)
        print(f"memory after minute {minute + 1}: {megabytes(resident[-1])}", file=sys.stderr)
    table = Table(
        ["minutes under load", *(str(minute) for minute in range(len(resident)))],
        [["resident MiB", *(megabytes(each) for each in resident)]],
        f"{target.name}, {CONNECTIONS} connections; {requests:,.0f} requests after those of the rounds above.",
    )
    if not minutes:
        return table, []
    first, last = resident[1], resident[-1]
    return table, [
        Goal(
            "memory of the service after a minute of load", "≤ 120 MiB", f"{megabytes(first)} MiB", first <= MAX_BYTES
        ),
        Goal(
            f"growth of that memory until minute {minutes}",
            "none (≤ 5 %)",
            f"{(last - first) / first:+.1%}",
            last - first <= MAX_GROWTH * first,
        ),
    ]


def megabytes(size: int) -> str:
    """MiB with one decimal place."""
    return f"{size / 2**20:.1f}"
