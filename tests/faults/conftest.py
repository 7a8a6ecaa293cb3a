"""One site for all fault tests. They kill and freeze processes, so they do not use the shared stack."""

import json
from collections.abc import Iterator

import pytest

from tests.callers import Caller
from tests.faults.site import Site, running_site


@pytest.fixture(scope="session")
def whole_site() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    """The site without a running worker. The settings are restored after the test."""
    whole_site.pause_workers()
    settings = whole_site.rows("select to_jsonb(s) from assetdock_private.settings s")[0][0]
    yield whole_site
    whole_site.rows(
        "update assetdock_private.settings s set (deletion_grace, max_attempts, retry_window, retry_base, retry_cap) ="
        " (select r.deletion_grace, r.max_attempts, r.retry_window, r.retry_base, r.retry_cap"
        "  from jsonb_populate_record(null::assetdock_private.settings, %s::jsonb) r) where s.singleton",
        json.dumps(settings),
    )


@pytest.fixture
def running_worker(site: Site) -> None:
    site.run_worker()


@pytest.fixture
def owner(site: Site) -> Caller:
    return site.owner()
