"""The service's memory under a load that goes on."""

import sys

from bench.processes import usage
from bench.report import Goal, Table
from bench.serving.load import Target, load
from bench.serving.owners import forget_reservations
from bench.serving.site import Site

CONNECTIONS = 16
LARGEST = 120 * 2**20
GROWTH = 0.05  # of what it held after a minute: allocators round, and a minute more or less of memory is no leak


def endure(where: Site, target: Target, minutes: int) -> tuple[Table, list[Goal]]:
    """The memory that is resident before, and after each of so many minutes under load."""
    service = where.service
    resident = [usage(service.pid).resident_bytes]
    answered = 0.0
    for minute in range(minutes):
        for _ in range(6):
            answered += load(target, CONNECTIONS, 10).per_second * 10
            forget_reservations(where.stack)
        resident.append(usage(service.pid).resident_bytes)
        print(f"memory after minute {minute + 1}: {megabytes(resident[-1])}", file=sys.stderr)
    table = Table(
        ["minutes under load", *(str(minute) for minute in range(len(resident)))],
        [["resident MiB", *(megabytes(each) for each in resident)]],
        f"{target.name}, {CONNECTIONS} connections; {answered:,.0f} requests after those of the rounds.",
    )
    if not minutes:
        return table, []
    first, last = resident[1], resident[-1]
    return table, [
        Goal("memory of the service after a minute of load", "≤ 120 MiB", f"{megabytes(first)} MiB", first <= LARGEST),
        Goal(
            f"its growth from then until minute {minutes}",
            "none (≤ 5 %)",
            f"{(last - first) / first:+.1%}",
            last - first <= GROWTH * first,
        ),
    ]


def megabytes(size: int) -> str:
    """In MiB, with a place."""
    return f"{size / 2**20:.1f}"
