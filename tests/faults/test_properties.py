"""Random operations of two owners and a worker in the database, and the invariants that hold after each operation.

Each run is a transaction that is rolled back. now() does not advance within it, so rules move deadlines instead.
"""

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from psycopg.types.json import Jsonb

from tests.database.test_states import ALLOWED
from tests.faults.database import OUR_ERRORS, Database
from tests.faults.site import Site, soaking

OWNERS = ("5a1ca5e5-0000-4000-8000-000000000001", "5a1ca5e5-0000-4000-8000-000000000002")
WORKER = {"role": "assetdock_worker"}
CHOICE = st.integers(min_value=0, max_value=9)


class AssetLifeCycles(RuleBasedStateMachine):
    """Operations on the assets of two owners. The test sets `database`. `reached` counts what the runs reached."""

    database: Database
    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.assets: list[tuple[str, str]] = []  # (owner, asset)
        self.leases: list[dict[str, Any]] = []  # all leases ever given; most of them have expired
        self.database.connection.execute("savepoint example")
        for owner in OWNERS:
            self.database.execute("insert into auth.users (id, email) values (%s, %s)", owner, f"{owner}@example.com")
            self.database.execute(
                "insert into assetdock_private.limits (owner_id, stored_bytes) values (%s, 1000)", owner
            )

    def teardown(self) -> None:
        self.database.connection.execute("rollback to savepoint example")

    def asset(self, choice: int) -> tuple[str, str]:
        return self.assets[choice % len(self.assets)]

    @rule(owner=st.sampled_from(OWNERS), size=st.sampled_from([None, 100, 400]))
    def reserve(self, owner: str, size: int | None) -> None:
        reservation = self.database.call(
            session(owner), "select assetdock.create_upload('audio', 'audio/wav', size_bytes => %s::bigint)", size
        )
        if reservation is not None:
            self.assets.append((owner, reservation["asset"]["id"]))

    @precondition(lambda self: self.assets)
    @rule(choice=CHOICE, size=st.sampled_from([100, 400, 5000]), by_tus=st.booleans())
    def land(self, choice: int, size: int, by_tus: bool) -> None:
        """Inserts rows as Storage does: for a PUT a row that is rolled back, then the final row."""
        _, asset = self.asset(choice)
        insert = "insert into storage.objects (bucket_id, name, version, metadata) values ('assets', %s, %s, %s)"
        row = {"mimetype": "audio/wav", "contentLength": size}
        if not by_tus:
            try:
                with self.database.connection.transaction(force_rollback=True):
                    self.database.connection.execute(insert, [asset, "1", Jsonb(row)])
            except psycopg.Error as error:
                if error.sqlstate not in OUR_ERRORS | {"23505"}:
                    raise
                return
        try:
            with self.database.connection.transaction():
                self.database.connection.execute(
                    insert, [asset, str(uuid.uuid4()), Jsonb({**row, "size": size, "eTag": '"x"'})]
                )
        except psycopg.Error as error:
            if error.sqlstate not in OUR_ERRORS | {"23505"}:
                raise
        else:
            self.reached["landed"] += 1

    @precondition(lambda self: self.assets)
    @rule(choice=CHOICE, caller=st.sampled_from(OWNERS), function=st.sampled_from(["delete_asset", "restore_asset",
          "confirm_upload", "renew_upload", "get_asset", "list_asset_events"]))  # fmt: skip
    def call(self, choice: int, caller: str, function: str) -> None:
        """A call by the owner of the asset or by the other owner, a stranger to it."""
        owner, asset = self.asset(choice)
        before = self.database.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset)
        result = self.database.call(session(caller), f"select to_json(assetdock.{function}(%s))", asset)
        if caller != owner:
            assert result is None, f"{function} returned a result to a stranger"
            assert self.database.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset) == before

    @rule(number=st.integers(1, 3), kinds=st.sampled_from([["probe"], ["purge"], ["probe", "purge_owner", "purge"]]))
    def lease(self, number: int, kinds: list[str]) -> None:
        idle = number < 3
        live = {
            job
            for (job,) in self.database.rows(
                "select id::text from assetdock_private.jobs where lease_token is not null and available_at > now()"
            )
        }
        leased = self.database.call(WORKER, "select assetdock.lease_jobs('w', %s, 60, %s, %s)", number, kinds, idle)
        jobs = leased["jobs"]
        for job in jobs:
            assert job["kind"] in kinds
            assert not job["exclusive"] or (idle and len(jobs) == 1)
            assert job["id"] not in live, "a job was leased twice"
            self.leases.append(job)

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICE, call=st.sampled_from([
        "begin_probe(%s, %s)", "complete_probe(%s, %s, 1.5, 'audio/wav', '{}')",
        "reject_probe(%s, %s, 'unreadable_media', 'no')",
        "reject_probe(%s, %s, 'bytes_missing', 'no')", "retry_job(%s, %s, 'trouble')", "release_job(%s, %s)",
        "extend_lease(%s, %s, 60)", "begin_purge(%s, %s)", "complete_purge(%s, %s)", "purge_owner_batch(%s, %s, 1)",
    ]))  # fmt: skip
    def report(self, choice: int, call: str) -> None:
        """A worker's call about one of the latest leases, for a job of the right kind."""
        job = self.leases[-1 - choice % len(self.leases)]
        function = call.split("(", 1)[0]
        for kind, functions in FUNCTIONS_OF_A_KIND.items():
            if function in functions and job["kind"] != kind:
                return
        if "bytes_missing" in call and self.has_object(job):
            return  # a worker reports this only if the object does not exist
        held = self.database.rows(
            "select 1 from assetdock_private.jobs where id = %s and lease_token = %s and available_at > now()",
            job["id"], job["lease_token"],
        )  # fmt: skip
        before = self.snapshot()
        result = self.database.call(WORKER, f"select assetdock.{call}", job["id"], job["lease_token"])
        if not held:
            assert result is None, f"{function} succeeded with an expired lease"
            assert self.snapshot() == before
        self.reached[f"{function} {'failed' if result is None else 'succeeded'}"] += 1

    @rule(number=st.integers(1, 3))
    def work(self, number: int) -> None:
        """The calls of a real worker, in order. Random calls alone rarely complete a purge."""
        calls = {
            "probe": ["begin_probe(%s, %s)", "complete_probe(%s, %s, 1.5, 'audio/wav', '{}')"],
            "purge_owner": ["purge_owner_batch(%s, %s, 2)"],
            "purge": ["begin_purge(%s, %s)", "", "complete_purge(%s, %s)"],
        }
        self.time_passes(f"update assetdock_private.jobs set available_at = now() where {WAITING}")
        for _ in range(number):
            before = len(self.leases)
            self.lease(1, list(calls))
            for job in self.leases[before:]:
                for call in calls[job["kind"]]:
                    if not call:
                        self.delete_through_storage(job)
                        continue
                    result = self.database.call(WORKER, f"select assetdock.{call}", job["id"], job["lease_token"])
                    assert result is not None, f"{call} of a real worker failed"
                    self.reached[call.split("(", maxsplit=1)[0]] += 1

    @rule(owner=st.sampled_from(OWNERS))
    def land_delete_and_purge(self, owner: str) -> None:
        """A whole life cycle, if the owner's quota allows it. Random operations alone do not always reach a purge."""
        newest = len(self.assets)
        self.reserve(owner, 100)
        if len(self.assets) > newest:
            self.land(newest, 100, by_tus=False)
            self.call(newest, owner, "delete_asset")
            self.work(3)

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICE)
    def delete_object(self, choice: int) -> None:
        """A deletion by the worker at any time. The policy decides."""
        job = self.leases[-1 - choice % len(self.leases)]
        if job["kind"] == "purge":
            self.delete_through_storage(job)

    def delete_through_storage(self, job: dict[str, Any]) -> None:
        """Deletes the object of a purge job with the worker's role, as Storage does."""
        asset = job["asset"]["id"]
        allowed = self.database.rows(
            "select purge_started_at is not null from assetdock_app.assets where id = %s", asset
        )
        self.database.execute("set local storage.allow_delete_query = 'true'")
        deleted = self.database.call(
            WORKER, "with d as (delete from storage.objects where name = %s returning 1) select count(*) from d", asset
        )
        assert allowed == [(True,)] or not deleted, "the worker deleted bytes before their purge began"

    @rule(statement=st.sampled_from([
        "update assetdock_private.jobs set available_at = now() where lease_token is not null and finished_at is null",
        "update assetdock_private.jobs set available_at = now() where lease_token is null and finished_at is null",
        "update assetdock_app.assets set upload_expires_at = now(), finish_by = now() where state = 'pending_upload'",
        "update assetdock_private.settings set retry_window = '0' where singleton",
    ]))  # fmt: skip
    def time_passes(self, statement: str) -> None:
        self.database.execute(statement)

    @rule()
    def run_maintenance(self) -> None:
        self.database.call(WORKER, "select assetdock.run_maintenance()")

    @rule(owner=st.sampled_from(OWNERS), chance=CHOICE)
    def delete_user(self, owner: str, chance: int) -> None:
        if chance == 0:
            self.database.execute("delete from auth.users where id = %s", owner)

    def has_object(self, job: dict[str, Any]) -> bool:
        asset = job["asset"] and job["asset"]["id"]
        return bool(self.database.rows("select 1 from storage.objects where name = %s", asset))

    def assets_seen_by(self, owner: str) -> dict[str, str]:
        """The states of the assets that the lists of an owner contain, by id; none if the user is deleted."""
        live = self.database.call(session(owner), 'select assetdock.list_assets("limit" => 100)')
        deleted = self.database.call(
            session(owner), "select assetdock.list_assets(\"limit\" => 100, state => 'deleted')"
        )
        return {asset["id"]: asset["state"] for page in (live, deleted) if page for asset in page["items"]}

    def snapshot(self) -> list[Any]:
        return self.database.rows(
            "select (select jsonb_agg(a order by id) from assetdock_app.assets a where owner_id::text = any (%s)),"
            " (select jsonb_agg(j order by id) from assetdock_private.jobs j),"
            " (select jsonb_agg(u) from assetdock_private.usage u)",
            [*OWNERS],
        )

    @invariant()
    def the_history_leads_to_the_state_through_allowed_transitions(self) -> None:
        for asset, state, events in self.database.rows(
            "select a.id, a.state, array(select array[e.from_state, e.to_state] from assetdock_app.asset_events e"
            " where e.asset_id = a.id order by e.id) from assetdock_app.assets a where a.owner_id::text = any (%s)",
            [*OWNERS],
        ):
            steps = [[None, "pending_upload"], *events]
            assert all(tuple(step) in ALLOWED for step in events), events
            assert all(after[0] == before[1] for before, after in itertools.pairwise(steps)), events
            assert steps[-1][1] == state, asset

    @invariant()
    def owners_see_exactly_their_own_assets_and_events(self) -> None:
        for owner in OWNERS:
            seen = self.assets_seen_by(owner)
            exists = self.database.rows("select 1 from auth.users where id = %s", owner)
            own = {asset for whose, asset in self.assets if whose == owner}
            assert set(seen) == (own if exists else set())
            for asset, state in list(seen.items())[:1]:
                history = self.database.call(session(owner), "select assetdock.list_asset_events(%s)", asset)["items"]
                assert history[-1]["to"] == state

    @invariant()
    def usage_is_the_sum_of_the_stored_bytes(self) -> None:
        """Between the deletion in Storage and complete_purge, the bytes are still counted."""
        for owner, used, stored, being_purged in self.database.rows(
            "select o, coalesce((select stored_bytes from assetdock_private.usage where owner_id = o), 0),"
            " (select coalesce(sum((b.metadata ->> 'size')::bigint), 0) from storage.objects b"
            "  join assetdock_app.assets a on a.id::text = b.name where a.owner_id = o),"
            " (select coalesce(sum(a.size_bytes), 0) from assetdock_app.assets a where a.owner_id = o"
            "  and a.purge_started_at is not null and a.purged_at is null"
            "  and not exists (select from storage.objects b where b.name = a.id::text))"
            " from unnest(%s::uuid[]) o",
            [*OWNERS],
        ):
            assert used <= 1000
            assert used == stored + being_purged, owner

    @invariant()
    def there_are_no_discrepancies(self) -> None:
        discrepancies = self.database.rows(
            "select found from ("
            " select assetdock_private.asset_discrepancy(a) found from assetdock_app.assets a"
            " where owner_id::text = any (%s)"
            " union all select assetdock_private.object_discrepancy(o) from storage.objects o where o.name = any (%s)"
            " union all select assetdock_private.owner_discrepancy(o::uuid) from unnest(%s::text[]) o"
            ") x where found is not null",
            [*OWNERS],
            [asset for _, asset in self.assets],
            [*OWNERS],
        )
        assert discrepancies == []


WAITING = "lease_token is null and finished_at is null"
FUNCTIONS_OF_A_KIND = {
    "probe": ("begin_probe", "complete_probe", "reject_probe"),
    "purge": ("begin_purge", "complete_purge"),
    "purge_owner": ("purge_owner_batch",),
}


def session(owner: str) -> dict[str, str]:
    return {"role": "authenticated", "sub": owner}


@pytest.fixture
def database(site: Site) -> Iterator[Database]:
    """A transaction with an empty queue that is rolled back."""
    with psycopg.connect(site.stack.db_url) as connection:
        connection.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'cancelled', lease_token = null"
            " where finished_at is null"
        )
        yield Database(connection)
        connection.rollback()


def test_the_invariants_hold_after_any_operations_of_two_owners_and_a_worker(database: Database) -> None:
    AssetLifeCycles.database = database

    run_state_machine_as_test(
        AssetLifeCycles,
        settings=settings(
            max_examples=400 if soaking() else 20,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=not soaking(),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Shrinking takes minutes. `make soak` does it.
            phases=list(Phase) if soaking() else [Phase.generate],
        ),
    )
    # Runs that reach neither of these prove nothing.
    assert AssetLifeCycles.reached["landed"], AssetLifeCycles.reached
    assert AssetLifeCycles.reached["complete_purge"], AssetLifeCycles.reached
