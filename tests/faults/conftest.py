"""One site for all fault tests: they kill and freeze, so nobody else's stack may be it."""

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
    """The site, where nobody works until a test says so, with the settings it came with."""
    whole_site.rest()
    settings = whole_site.rows("select to_jsonb(s) from assetdock_private.settings s")[0][0]
    yield whole_site
    whole_site.rows(
        "update assetdock_private.settings s set (deletion_grace, max_attempts, retry_window, retry_base, retry_cap) ="
        " (select r.deletion_grace, r.max_attempts, r.retry_window, r.retry_base, r.retry_cap"
        "  from jsonb_populate_record(null::assetdock_private.settings, %s::jsonb) r) where s.singleton",
        json.dumps(settings),
    )


@pytest.fixture
def working(site: Site) -> Site:
    """The site with its worker at work."""
    site.work()
    return site


@pytest.fixture
def owner(site: Site) -> Caller:
    return site.owner()
