"""The documentation lists exactly the settings and limits that exist, with their defaults."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from assetdock_server.config import service_settings, worker_settings
from assetdock_server.media import binary
from devstack.binaries import PROJECT

OPERATIONS = "docs/operations.md"
SYSTEM_VARIABLES = {"PATH", "SSL_CERT_FILE"}
# The row of each limit in the guide for callers: its name, and the format of its default.
GUIDE_ROWS = {
    "reservations_per_minute": ("reservations", "{} a minute"),
    "pending_uploads": ("reservations whose upload window is open", "{}"),
    "asset_bytes": ("one asset", "{} GiB"),
    "stored_bytes": ("stored bytes that are not purged", "{} TiB"),
    "api_keys": ("API keys that are neither revoked nor expired", "{}"),
    "webhook_endpoints": ("webhook endpoints, including disabled ones", "{}"),
}
UNITS = {"asset_bytes": 2**30, "stored_bytes": 2**40}


class RecordingEnvironment(Mapping[str, str]):
    """An environment that records which variables are read."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("Settings are read by name.")

    def __len__(self) -> int:
        return len(self._values)


def rows(page: str, after: str) -> list[list[str]]:
    """Returns the cells of the first table after a text of the page, without the header."""
    table = (PROJECT / page).read_text().partition(after)[2].partition("\n|")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def default_limits(database: psycopg.Connection[Any]) -> dict[str, int]:
    described = database.execute("select * from assetdock_private.limits where owner_id is null")
    values = described.fetchone()
    assert values is not None
    assert described.description is not None
    names = [column.name for column in described.description]
    return {name: value for name, value in zip(names, values, strict=True) if name != "owner_id"}


def test_readme_lists_exactly_the_settings_that_are_read(
    service_environment: dict[str, str], worker_environment: dict[str, str]
) -> None:
    service, worker = RecordingEnvironment(service_environment), RecordingEnvironment(worker_environment)
    service_settings(service)
    worker_settings(worker)
    asyncio.run(binary.find(PROJECT, environ=worker))

    listed = {name: cells[1] for cells in rows("README.md", "one or more workers:") for name in names_in(cells[0])}
    read = dict.fromkeys(service.read - SYSTEM_VARIABLES, "service")
    for name in worker.read - SYSTEM_VARIABLES:
        read[name] = "both" if name in read else "worker"
    assert {**listed, "HOST": "both"} == read  # the worker serves its metrics on HOST


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([A-Z_]+)`", cell)


def test_operations_page_lists_every_limit_with_its_default(database: psycopg.Connection[Any]) -> None:
    listed = {cells[0].strip("`"): int(cells[1]) for cells in rows(OPERATIONS, "## Limits")}

    assert listed == default_limits(database)


def test_limits_guide_lists_every_limit_with_its_default(database: psycopg.Connection[Any]) -> None:
    listed = {cells[0]: cells[1] for cells in rows("docs/guides/limits.md", "# Limits and rates")}

    limits = default_limits(database)
    assert limits.keys() == GUIDE_ROWS.keys()
    for column, value in limits.items():
        name, words = GUIDE_ROWS[column]
        assert listed[name] == words.format(value // UNITS.get(column, 1)), column


def test_request_rate_matches_its_documentation(service_environment: dict[str, str]) -> None:
    rate = service_settings(service_environment).requests_per_minute

    assert ["requests", f"{rate} a minute, for each server process"] in [
        cells[:2] for cells in rows("docs/guides/limits.md", "# Limits and rates")
    ]
    described = {cells[0]: cells[2] for cells in rows("README.md", "one or more workers:")}
    assert described["`ASSETDOCK_RATE_LIMIT`"].endswith(f"default {rate}")


def test_operations_page_lists_every_discrepancy_and_whether_it_is_repairable(
    database: psycopg.Connection[Any],
) -> None:
    listed = {cells[0].strip("`"): not cells[2].startswith("no:") for cells in rows(OPERATIONS, "## Reconcile")}

    assert listed == dict(database.execute("select kind, repairable from assetdock_private.discrepancies").fetchall())


def test_settings_that_the_documentation_names_exist(database: psycopg.Connection[Any]) -> None:
    table = database.execute("select * from assetdock_private.settings").description
    assert table is not None
    worker_section = (PROJECT / OPERATIONS).read_text().partition("## The worker")[2].partition("## Limits")[0]
    pages = "".join(path.read_text() for path in (PROJECT / "docs").rglob("*.md"))

    named = set(re.findall(r"\(`([a-z_]+)`\)", worker_section))
    named |= set(re.findall(r"assetdock_private\.settings\.(\w+)", pages))
    assert {"max_attempts", "retry_window", "loopback_webhooks"} <= named
    assert named <= {column.name for column in table}


def test_log_events_that_the_operations_page_names_exist() -> None:
    source = "".join(path.read_text() for path in (PROJECT / "service/assetdock_server").rglob("*.py"))
    metrics_section = (PROJECT / OPERATIONS).read_text().partition("## Metrics and logs")[2]

    named = re.findall(r"`([a-z]+_[a-z_]+)`", metrics_section.partition("Logs are JSON lines.")[2])
    named += re.findall(r"the log has `(\w+)`", metrics_section)
    assert {"asset_id", "asset_ready"} < set(named)
    assert [name for name in named if f'"{name}"' not in source and f"{name}=" not in source] == []
