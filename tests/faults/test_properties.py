"""Random operations of two owners and two workers, straight at the database, and what must hold after each.

Runs in transactions that are rolled back. Time does not pass in one, so leases, windows and graces are moved by hand.
"""

import itertools
import json
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
from tests.faults.site import Site, soaking

OWNERS = ("5a1ca5e5-0000-4000-8000-000000000001", "5a1ca5e5-0000-4000-8000-000000000002")
WORKER = {"role": "assetdock_worker"}
REFUSALS = {"PGRST", "42501"}  # ours, through assetdock_private.fail or the guard; any other error is a fault
CHOICE = st.integers(min_value=0, max_value=9)


class Database:
    """One connection, and who is asking through it."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def ask(self, claims: dict[str, str] | None, query: str, *parameters: object) -> Any:
        """The one value that a query answers, or None when it was refused. Without claims: as superuser."""
        try:
            with self.connection.transaction():
                if claims:
                    self.connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
                    self.connection.execute(f"set local role {claims['role']}")
                row = self.connection.execute(query, parameters).fetchone()
                if claims:
                    self.connection.execute("reset role")
                    self.connection.execute("select set_config('request.jwt.claims', '', true)")
                return row and row[0]
        except psycopg.Error as error:
            if error.sqlstate not in REFUSALS:
                raise
            return None

    def do(self, statement: str, *parameters: object) -> None:
        """As superuser; must not fail."""
        self.connection.execute(statement, parameters)

    def rows(self, query: str, *parameters: object) -> list[Any]:
        return self.connection.execute(query, parameters).fetchall()


class Lives(RuleBasedStateMachine):
    """The lives of assets. `database` is set by the test."""

    database: Database
    reached: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.assets: list[tuple[str, str]] = []  # (owner, asset)
        self.leases: list[dict[str, Any]] = []  # ever given, so most are stale
        self.database.connection.execute("savepoint example")
        for owner in OWNERS:
            self.database.do("insert into auth.users (id, email) values (%s, %s)", owner, f"{owner}@example.com")
            self.database.do("insert into assetdock_private.limits (owner_id, stored_bytes) values (%s, 1000)", owner)

    def teardown(self) -> None:
        self.database.connection.execute("rollback to savepoint example")

    def asset(self, choice: int) -> tuple[str, str]:
        return self.assets[choice % len(self.assets)]

    @rule(owner=st.sampled_from(OWNERS), size=st.sampled_from([None, 100, 400]))
    def reserve(self, owner: str, size: int | None) -> None:
        made = self.database.ask(
            session(owner), "select assetdock.create_upload('audio', 'audio/wav', size_bytes => %s::bigint)", size
        )
        if made is not None:
            self.assets.append((owner, made["asset"]["id"]))

    @precondition(lambda self: self.assets)
    @rule(choice=CHOICE, size=st.sampled_from([100, 400, 5000]), by_tus=st.booleans())
    def land(self, choice: int, size: int, by_tus: bool) -> None:
        """As Storage does: a rolled-back row before a PUT, then the final one."""
        _, asset = self.asset(choice)
        insert = "insert into storage.objects (bucket_id, name, version, metadata) values ('assets', %s, %s, %s)"
        row = {"mimetype": "audio/wav", "contentLength": size}
        if not by_tus:
            try:
                with self.database.connection.transaction(force_rollback=True):
                    self.database.connection.execute(insert, [asset, "1", Jsonb(row)])
            except psycopg.Error as error:
                if error.sqlstate not in REFUSALS | {"23505"}:
                    raise
                return
        try:
            with self.database.connection.transaction():
                self.database.connection.execute(
                    insert, [asset, str(uuid.uuid4()), Jsonb({**row, "size": size, "eTag": '"x"'})]
                )
        except psycopg.Error as error:
            if error.sqlstate not in REFUSALS | {"23505"}:
                raise
        else:
            self.reached["landed"] += 1

    @precondition(lambda self: self.assets)
    @rule(choice=CHOICE, who=st.sampled_from(OWNERS), what=st.sampled_from(["delete_asset", "restore_asset",
          "confirm_upload", "renew_upload", "get_asset", "list_asset_events"]))  # fmt: skip
    def call(self, choice: int, who: str, what: str) -> None:
        """By whoever: an owner or the other one, who must not get anywhere."""
        owner, asset = self.asset(choice)
        before = self.database.rows("select to_jsonb(a) from assetdock_app.assets a where id = %s", asset)
        answer = self.database.ask(session(who), f"select to_json(assetdock.{what}(%s))", asset)
        if who != owner:
            assert answer is None, f"{what} answered a stranger"
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
        leased = self.database.ask(WORKER, "select assetdock.lease_jobs('w', %s, 60, %s, %s)", number, kinds, idle)
        jobs = leased["jobs"]
        for job in jobs:
            assert job["kind"] in kinds
            assert not job["exclusive"] or (idle and len(jobs) == 1)
            assert job["id"] not in live, "a job was leased twice"
            self.leases.append(job)

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICE, what=st.sampled_from([
        "complete_probe(%s, %s, 1.5, 'audio/wav', '{}')", "reject_probe(%s, %s, 'unreadable_media', 'no')",
        "reject_probe(%s, %s, 'bytes_missing', 'no')", "retry_job(%s, %s, 'trouble')", "release_job(%s, %s)",
        "extend_lease(%s, %s, 60)", "begin_purge(%s, %s)", "complete_purge(%s, %s)", "purge_owner_batch(%s, %s, 1)",
    ]))  # fmt: skip
    def outcome(self, choice: int, what: str) -> None:
        """A worker's word about a job of the right kind; the newest leases most often."""
        job = self.leases[-1 - choice % len(self.leases)]
        function = what.split("(", 1)[0]
        for kind, functions in MEANT_FOR.items():
            if function in functions and job["kind"] != kind:
                return
        if "bytes_missing" in what and self.has_object(job):
            return  # no honest worker says so
        held = self.database.rows(
            "select 1 from assetdock_private.jobs where id = %s and lease_token = %s and available_at > now()",
            job["id"], job["lease_token"],
        )  # fmt: skip
        before = self.snapshot()
        answer = self.database.ask(WORKER, f"select assetdock.{what}", job["id"], job["lease_token"])
        if not held:
            assert answer is None, f"{function} by a stale worker was taken"
            assert self.snapshot() == before
        self.reached[f"{function} {'refused' if answer is None else 'taken'}"] += 1

    @rule(number=st.integers(1, 3))
    def work_honestly(self, number: int) -> None:
        """All that a worker does with what it is given: without it, random words seldom end a purge."""
        words = {
            "probe": ["complete_probe(%s, %s, 1.5, 'audio/wav', '{}')"],
            "purge_owner": ["purge_owner_batch(%s, %s, 2)"],
            "purge": ["begin_purge(%s, %s)", "", "complete_purge(%s, %s)"],
        }
        self.time_passes(f"update assetdock_private.jobs set available_at = now() where {WAITING}")
        for _ in range(number):
            before = len(self.leases)
            self.lease(1, list(words))
            for job in self.leases[before:]:
                for word in words[job["kind"]]:
                    if not word:
                        self.remove(job)
                        continue
                    answer = self.database.ask(WORKER, f"select assetdock.{word}", job["id"], job["lease_token"])
                    assert answer is not None, f"an honest {word} was refused"
                    self.reached[word.split("(", maxsplit=1)[0]] += 1

    @rule(owner=st.sampled_from(OWNERS))
    def live_and_end(self, owner: str) -> None:
        """A whole life, if there is room for it: by chance alone some runs would see no end at all."""
        newest = len(self.assets)
        self.reserve(owner, 100)
        if len(self.assets) > newest:
            self.land(newest, 100, by_tus=False)
            self.call(newest, owner, "delete_asset")
            self.work_honestly(3)

    @precondition(lambda self: self.leases)
    @rule(choice=CHOICE)
    def delete_object(self, choice: int) -> None:
        """As Storage does for the worker, whose policy decides."""
        job = self.leases[-1 - choice % len(self.leases)]
        if job["kind"] == "purge":
            self.remove(job)

    def remove(self, job: dict[str, Any]) -> None:
        asset = job["asset"]["id"]
        allowed = self.database.rows(
            "select purge_started_at is not null from assetdock_app.assets where id = %s", asset
        )
        self.database.do("set local storage.allow_delete_query = 'true'")
        deleted = self.database.ask(
            WORKER, "with d as (delete from storage.objects where name = %s returning 1) select count(*) from d", asset
        )
        assert allowed == [(True,)] or not deleted, "the worker deleted bytes whose purge had not begun"

    @rule(what=st.sampled_from([
        "update assetdock_private.jobs set available_at = now() where lease_token is not null and finished_at is null",
        "update assetdock_private.jobs set available_at = now() where lease_token is null and finished_at is null",
        "update assetdock_app.assets set upload_expires_at = now(), finish_by = now() where state = 'pending_upload'",
        "update assetdock_private.settings set retry_window = '0' where singleton",
    ]))  # fmt: skip
    def time_passes(self, what: str) -> None:
        self.database.do(what)

    @rule()
    def run_maintenance(self) -> None:
        self.database.ask(WORKER, "select assetdock.run_maintenance()")

    @rule(owner=st.sampled_from(OWNERS), luck=CHOICE)
    def leave(self, owner: str, luck: int) -> None:
        if luck == 0:
            self.database.do("delete from auth.users where id = %s", owner)

    def has_object(self, job: dict[str, Any]) -> bool:
        asset = job["asset"] and job["asset"]["id"]
        return bool(self.database.rows("select 1 from storage.objects where name = %s", asset))

    def snapshot(self) -> list[Any]:
        return self.database.rows(
            "select (select jsonb_agg(a order by id) from assetdock_app.assets a where owner_id::text = any (%s)),"
            " (select jsonb_agg(j order by id) from assetdock_private.jobs j), (select jsonb_agg(u) from assetdock_private.usage u)",
            [*OWNERS],
        )

    @invariant()
    def history_tells_the_state_and_only_of_transitions_that_exist(self) -> None:
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
    def owners_see_their_own_and_nothing_else(self) -> None:
        for owner in OWNERS:
            seen = self.database.ask(session(owner), "select array_agg(id::text) from assetdock.assets") or []
            alive = self.database.rows("select 1 from auth.users where id = %s", owner)
            assert set(seen) == ({asset for whose, asset in self.assets if whose == owner} if alive else set())
            changed = (
                self.database.ask(session(owner), "select array_agg(asset_id::text) from assetdock.asset_events") or []
            )
            begun = "select id::text from assetdock_app.assets where id::text = any (%s) and state <> 'pending_upload'"
            assert set(changed) == {asset for (asset,) in self.database.rows(begun, seen)}

    @invariant()
    def usage_is_the_bytes_that_are_there(self) -> None:
        """Between Storage's deletion and complete_purge they are still counted."""
        for owner, used, there, going in self.database.rows(
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
            assert used == there + going, owner

    @invariant()
    def nothing_is_wrong_with_anything(self) -> None:
        wrong = self.database.rows(
            "select w from (select assetdock_private.asset_discrepancy(a) as w from assetdock_app.assets a where owner_id::text = any (%s)"
            " union all select assetdock_private.object_discrepancy(o) from storage.objects o where o.name = any (%s)"
            " union all select assetdock_private.owner_discrepancy(o::uuid) from unnest(%s::text[]) o) x where w is not null",
            [*OWNERS], [asset for _, asset in self.assets], [*OWNERS],
        )  # fmt: skip
        assert wrong == []


WAITING = "lease_token is null and finished_at is null"
MEANT_FOR = {
    "probe": ("complete_probe", "reject_probe"),
    "purge": ("begin_purge", "complete_purge"),
    "purge_owner": ("purge_owner_batch",),
}


def session(owner: str) -> dict[str, str]:
    return {"role": "authenticated", "sub": owner}


@pytest.fixture
def alone(site: Site) -> Iterator[Database]:
    """A database to oneself: what is in the queue of others is put aside, and everything rolled back."""
    with psycopg.connect(site.stack.db_url) as connection:
        connection.execute(
            "update assetdock_private.jobs set finished_at = now(), outcome = 'cancelled', lease_token = null"
            " where finished_at is null"
        )
        yield Database(connection)
        connection.rollback()


def test_whatever_two_owners_and_a_worker_do_every_promise_holds(alone: Database) -> None:
    Lives.database = alone

    run_state_machine_as_test(
        Lives,
        settings=settings(
            max_examples=400 if soaking() else 20,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=not soaking(),
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Shrinking takes minutes; whoever finds something here asks for the long form.
            phases=list(Phase) if soaking() else [Phase.generate],
        ),
    )
    # A walk that never gets anywhere proves nothing.
    assert Lives.reached["landed"], Lives.reached
    assert Lives.reached["complete_purge"], Lives.reached
