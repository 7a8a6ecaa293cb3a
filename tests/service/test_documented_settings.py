"""What an operator may set is what the documentation lists, with the defaults it names."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg

from assetdock_server.config import service_settings, worker_settings
from assetdock_server.media import binary
from devstack.binaries import PROJECT

OF_THE_SYSTEM = {"PATH", "SSL_CERT_FILE"}
# How the guide, which is for callers, prints each default.
IN_WORDS = {
    "reservations_per_minute": ("reservations", "{} a minute"),
    "pending_uploads": ("reservations that wait for their bytes", "{}"),
    "asset_bytes": ("one asset", "{} GiB"),
    "stored_bytes": ("all bytes that are not purged", "{} TiB"),
    "api_keys": ("API keys that are neither revoked nor expired", "{}"),
    "webhook_endpoints": ("webhook endpoints, disabled ones too", "{}"),
}
UNITS = {"asset_bytes": 2**30, "stored_bytes": 2**40}


class Watched(Mapping[str, str]):
    """An environment that notes what it is asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("Settings are asked for by name.")

    def __len__(self) -> int:
        return len(self._values)


def rows(page: str, after: str) -> list[list[str]]:
    """The cells of the first table after a text of the page, without its head."""
    table = (PROJECT / page).read_text().partition(after)[2].partition("\n|")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def default_limits(database: psycopg.Connection[Any]) -> dict[str, int]:
    described = database.execute("select * from assetdock_private.limits where owner_id is null")
    values = described.fetchone()
    assert values is not None
    assert described.description is not None
    names = [column.name for column in described.description]
    return {name: value for name, value in zip(names, values, strict=True) if name != "owner_id"}


def test_the_readme_lists_every_setting_that_is_read_and_no_other(
    service_environment: dict[str, str], worker_environment: dict[str, str]
) -> None:
    serving, working = Watched(service_environment), Watched(worker_environment)
    service_settings(serving)
    worker_settings(working)
    asyncio.run(binary.find(PROJECT, environ=working))

    listed = {name: cells[1] for cells in rows("README.md", "one or more workers:") for name in names_in(cells[0])}
    read = dict.fromkeys(serving.asked - OF_THE_SYSTEM, "service")
    for name in working.asked - OF_THE_SYSTEM:
        read[name] = "both" if name in read else "worker"
    assert {**listed, "HOST": "both"} == read  # a worker's metrics answer there; the row of their port says so


def names_in(cell: str) -> list[str]:
    return re.findall(r"`([A-Z_]+)`", cell)


def test_the_operators_page_lists_every_limit_with_its_default(database: psycopg.Connection[Any]) -> None:
    listed = {cells[0].strip("`"): int(cells[1]) for cells in rows("docs/operations.md", "## Limits")}

    assert listed == default_limits(database)


def test_the_callers_guide_lists_every_limit_with_its_default(database: psycopg.Connection[Any]) -> None:
    listed = {cells[0]: cells[1] for cells in rows("docs/guides/limits.md", "# Limits and rates")}

    limits = default_limits(database)
    assert limits.keys() == IN_WORDS.keys()
    for column, value in limits.items():
        name, words = IN_WORDS[column]
        assert listed[name] == words.format(value // UNITS.get(column, 1)), column


def test_the_rate_of_requests_is_the_documented_one(service_environment: dict[str, str]) -> None:
    rate = service_settings(service_environment).requests_per_minute

    assert ["requests", f"{rate} a minute, for each server process"] in [
        cells[:2] for cells in rows("docs/guides/limits.md", "# Limits and rates")
    ]
    described = {cells[0]: cells[2] for cells in rows("README.md", "one or more workers:")}
    assert described["`ASSETDOCK_RATE_LIMIT`"].endswith(f"default {rate}")
