"""The table of attacks, printed at the end of a run: what each attack did before its mend, what it does now, and the
bound that its test asserts. A test adds a row with the fixture `attack`; `make attacks` runs only those tests."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

PROPERTY = "attack"
HEADINGS = ("attack", "before", "now", "bound")
Record = Callable[..., None]


@pytest.fixture
def attack(record_property: Callable[[str, object], None]) -> Record:
    """``attack(name, before=…, now=…, bound=…)`` adds a row. Names begin with a number, by which rows are sorted."""

    def record(name: str, *, before: str, now: str, bound: str) -> None:
        record_property(PROPERTY, [name, before, now, bound])

    return record


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test that adds rows, before pytest selects by mark."""
    for item in items:
        if "attack" in getattr(item, "fixturenames", ()):
            item.add_marker("attack")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints the table, if any test added a row."""
    rows = sorted(
        {
            tuple(row)
            for reports in terminalreporter.stats.values()
            for report in reports
            for name, row in getattr(report, "user_properties", ())
            if name == PROPERTY
        },
        key=lambda row: (int(row[0].split()[0]), row[0]),
    )
    if rows:
        terminalreporter.section("attacks")
        for line in table([HEADINGS, *rows]):
            terminalreporter.write_line(line)


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """The rows as lines of text with aligned columns."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
