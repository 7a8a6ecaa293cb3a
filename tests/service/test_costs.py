"""The cost of a request, counted instead of timed: upstream calls, SQL statements and memory allocations.

The counts are exact. Change a number only in a commit that changes the cost on purpose.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from assetdock_server.identity.api_key import digest
from devstack.ports import Ports
from devstack.stack import Stack
from tests import running_project
from tests.callers import Caller, Project
from tests.forwarder import Forwarder, forwarder
from tests.polling import until
from tests.processes import Service

REQUESTS = 20
RPC = "/rest/v1/rpc/"
CREATE = {"type": "audio", "content_type": "audio/wav"}


@pytest.fixture(scope="module")
def counted_service(stack: Stack, service_environment: dict[str, str]) -> Iterator[tuple[Forwarder, str]]:
    """The URL of a service whose upstream calls pass through a forwarder that counts them."""
    with forwarder(stack.ports.gateway) as proxy:
        running = Service(
            {**service_environment, "SUPABASE_URL": proxy.url, "ASSETDOCK_RATE_LIMIT": "off"}, Ports.free().gateway
        )
        yield proxy, running.url
        running.stop()


@pytest.fixture
def counted_caller(counted_service: tuple[Forwarder, str], project: Project, key_holder: Caller) -> Caller:
    """A key holder who calls the counted service."""
    _, url = counted_service
    return Caller(
        Project(project.supabase_url, project.publishable_key, project.secret_key, url),
        key_holder.credential,
        key_holder.owner_id,
    )


def test_each_route_makes_the_expected_upstream_calls(
    counted_service: tuple[Forwarder, str], counted_caller: Caller, worker: object, wav: bytes
) -> None:
    proxy, _ = counted_service
    reservation = counted_caller.reserve()
    asset_id = counted_caller.land(wav)
    counted_caller.wait_until_finished(asset_id)
    pending_id = reservation["asset"]["id"]

    def calls(send: Callable[[], httpx.Response]) -> dict[str, int]:
        assert send().status_code < 300  # fills the cache of API keys
        proxy.requests.clear()
        for _ in range(REQUESTS):
            send()
        counts: Counter[str] = Counter()
        for path, number in proxy.requests.items():
            counts[path.removeprefix(RPC).partition("/assets/")[0]] += number
        return {path: number // REQUESTS for path, number in counts.items() if number % REQUESTS == 0} | {
            path: -1 for path, number in counts.items() if number % REQUESTS
        }

    http = counted_caller.http
    assert calls(lambda: http.post("/assets/upload-url", json=CREATE)) == {
        "create_upload": 1,
        "/storage/v1/object/upload/sign": 1,
    }
    assert calls(lambda: http.post(f"/assets/{pending_id}/upload-url")) == {
        "renew_upload": 1,
        "/storage/v1/object/upload/sign": 1,
    }
    assert calls(lambda: http.post(f"/assets/{asset_id}/confirm")) == {"confirm_upload": 1}
    assert calls(lambda: http.get(f"/assets/{pending_id}")) == {"get_asset": 1}
    assert calls(lambda: http.get(f"/assets/{asset_id}")) == {"get_asset": 1, "/storage/v1/object/sign": 1}
    assert calls(lambda: http.get("/assets")) == {"list_assets": 1}
    assert calls(lambda: http.get(f"/assets/{asset_id}/events")) == {"list_asset_events": 1}


@pytest.fixture
def statements(
    database: psycopg.Connection[Any], paused_worker: None, pytestconfig: pytest.Config
) -> Iterator[Callable[[], tuple[int, int]]]:
    """Counts the statements since its last call: those that PostgREST sent, and those inside functions."""
    if pytestconfig.getoption(running_project.OPTION):
        pytest.skip("changes the configuration of Postgres, which needs a local stack")
    database.execute("create extension if not exists pg_stat_statements with schema extensions")
    database.execute("alter system set pg_stat_statements.track = 'all'")
    database.execute("select pg_reload_conf()")
    # Sessions read the configuration only after a signal from the postmaster.
    until(lambda: database.execute("show pg_stat_statements.track").fetchone() == ("all",), "the new configuration")

    def count_statements() -> tuple[int, int]:
        # PostgREST's statements run as authenticated, those inside functions as the owner of the function.
        row = database.execute(
            "select coalesce(sum(calls) filter (where toplevel and rolname = 'authenticated'), 0)::int,"
            " coalesce(sum(calls) filter (where not toplevel and rolname = 'postgres'), 0)::int"
            " from extensions.pg_stat_statements join pg_catalog.pg_roles r on r.oid = userid"
        ).fetchone()
        database.execute("select extensions.pg_stat_statements_reset()")
        assert row is not None
        return row[0], row[1]

    yield count_statements
    database.execute("alter system reset pg_stat_statements.track")
    database.execute("select pg_reload_conf()")
    database.execute("drop extension pg_stat_statements")


# PostgREST sends two statements in a transaction: one sets the claims, the other calls the function. `inside` counts
# the statements within the function.
@pytest.mark.parametrize(
    ("function", "inside"),
    [("create_upload", 5), ("get_asset", 2), ("list_assets", 3), ("confirm_upload", 2)],
)
def test_each_function_runs_the_expected_number_of_statements(
    owner: Caller, statements: Callable[[], tuple[int, int]], wav: bytes, function: str, inside: int
) -> None:
    asset_id = owner.land(wav)
    arguments = {"create_upload": CREATE, "list_assets": {}}.get(function, {"asset_id": asset_id})
    project = owner.project
    with httpx.Client(
        base_url=f"{project.supabase_url}/rest/v1/rpc",
        headers={
            "apikey": project.publishable_key,
            "Authorization": f"Bearer {owner.credential}",
            "Content-Profile": "assetdock",
        },
    ) as postgrest:
        postgrest.post(f"/{function}", json=arguments)
        statements()
        for _ in range(REQUESTS):
            postgrest.post(f"/{function}", json=arguments)

        sent, ran = statements()

    assert (sent / REQUESTS, ran / REQUESTS) == (2, inside)


def test_key_lookup_and_update_of_last_used_at_take_one_statement(
    key_holder: Caller, statements: Callable[[], tuple[int, int]], database: psycopg.Connection[Any]
) -> None:
    secret = [digest(key_holder.credential)]
    database.execute("update assetdock_app.api_keys set last_used_at = null where owner_id = %s", [key_holder.owner_id])

    def ran() -> int:
        statements()
        database.execute("select assetdock.resolve_api_key(%s)", secret)
        return statements()[1]

    assert ran() == 1
    assert ran() == 2  # last_used_at is recent: the update matches no row, and a second statement reads the key


# Memory allocations per request with CPython 3.11. Other versions differ, so the tolerance for them is larger.
@pytest.mark.parametrize(
    ("method", "path", "body", "allocations"),
    [
        ("POST", "/api/v1/assets/upload-url", '{"type": "audio", "content_type": "audio/mpeg"}', 1301),
        ("GET", "/api/v1/assets/01a20bc8-9fa1-7d85-8938-770126c645ee", "", 1123),
    ],
)
def test_requests_make_the_expected_allocations_and_retain_no_memory(
    method: str, path: str, body: str, allocations: int
) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "tests.service.allocations", method, path, body],
        capture_output=True,
        check=False,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr[-2000:]
    made, retained = json.loads(finished.stdout)

    tolerance = 0.01 if sys.version_info[:2] == (3, 11) else 0.2
    assert made == pytest.approx(allocations, rel=tolerance)
    assert retained < 1
