"""Whatever somebody broke past the triggers is found; what can be put right is, once."""

from collections.abc import Iterator

import pytest

from tests.callers import Caller
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone

USED = "select stored_bytes from assetdock_private.usage where owner_id = %s"


@pytest.fixture
def sound(site: Site) -> Iterator[Site]:
    """A site with nothing wrong, before and after."""
    assert site.reconcile("--repair").code == 0
    yield site
    assert site.reconcile("--repair").code == 0, "a test left something behind that is wrong"


def past_the_triggers(site: Site, statement: str, *parameters: object) -> None:
    with site.database() as connection, connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute("set local storage.allow_delete_query = 'true'")
        connection.execute(statement, parameters)


def end(site: Site, owner: Caller, *ids: str) -> None:
    """Deletes assets and lets the worker purge them."""
    for asset_id in ids:
        assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    site.rows(
        "update assetdock_private.jobs set available_at = now() where asset_id = any (%s) and finished_at is null",
        [*ids],
    )
    site.run_worker()
    purged = "select count(*) from assetdock_app.assets where id = any (%s) and purged_at is null"
    until(lambda: site.rows(purged, [*ids]) == [(0,)], "the purge")


def test_nothing_is_found_where_nothing_is_wrong(sound: Site, owner: Caller) -> None:
    sound.run_worker()
    owner.finished(owner.land(tone(0.5)))

    answer = sound.reconcile_command()

    assert (answer.code, answer.found) == (0, [])
    assert "Nothing is wrong." in answer.summary


def test_objects_without_an_asset_are_deleted_through_storage(sound: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(0.5))
    # As a restored backup of the database would have it: the object is there, its asset is not.
    for table in ("assetdock_private.jobs", "assetdock_app.asset_events"):
        past_the_triggers(sound, f"delete from {table} where asset_id = %s", asset_id)
    past_the_triggers(sound, "delete from assetdock_app.assets where id = %s", asset_id)
    past_the_triggers(sound, "delete from assetdock_private.usage where owner_id = %s", owner.owner_id)
    past_the_triggers(
        sound, "insert into storage.objects (bucket_id, name, version) values ('assets', 'folder/readme.txt', 'v')"
    )

    found = sound.reconcile_command()
    repaired = sound.reconcile_command("--repair")

    assert (found.code, found.kinds) == (1, [("object_without_asset", "found")] * 2)
    assert {line["subject"] for line in found.found} == {asset_id, "folder/readme.txt"}
    assert (repaired.code, repaired.kinds) == (0, [("object_without_asset", "repaired")] * 2)
    assert sound.rows("select count(*) from storage.objects where name = %s", asset_id) == [(0,)]
    assert not sound.object_files(asset_id)


def test_assets_without_their_object_are_failed_or_reported(sound: Site, owner: Caller) -> None:
    data = tone(0.5)
    sound.run_worker()
    ready, failed = owner.land(data), owner.land(b"no media at all")
    assert (owner.finished(ready)["state"], owner.finished(failed)["state"]) == ("ready", "failed")
    sound.pause_workers()
    processing = owner.land(data)
    past_the_triggers(sound, "delete from storage.objects where name = any (%s)", [ready, failed, processing])

    found = sound.reconcile()
    repaired = sound.reconcile("--repair")

    assert [kind for kind, _ in found.kinds] == ["bytes_missing", "bytes_missing", "ready_without_bytes"]
    assert repaired.code == 1
    assert repaired.kinds == [
        ("bytes_missing", "repaired"),
        ("bytes_missing", "repaired"),
        ("ready_without_bytes", "not_repairable"),
    ]
    [advice] = [line["advice"] for line in repaired.found if line["subject"] == ready]
    assert "delete the asset" in advice
    asset = owner.asset(processing)
    assert (asset["state"], asset["error_code"]) == ("failed", "bytes_missing")
    assert sound.rows(USED, owner.owner_id) == [(len(data),)]
    end(sound, owner, ready, failed, processing)
    assert sound.rows(USED, owner.owner_id) == [(0,)]
    assert sound.reconcile().code == 0


def test_a_probe_that_finds_no_object_stops_counting_its_bytes(sound: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(0.5))
    past_the_triggers(sound, "delete from storage.objects where name = %s", asset_id)
    sound.run_worker()

    asset = owner.finished(asset_id)

    assert (asset["state"], asset["error_code"]) == ("failed", "bytes_missing")
    assert sound.rows(USED, owner.owner_id) == [(0,)]
    end(sound, owner, asset_id)
    assert sound.rows(USED, owner.owner_id) == [(0,)]


def test_assets_stuck_in_a_state_move_on(sound: Site, owner: Caller) -> None:
    processing, deleted = owner.land(tone(0.5)), owner.land(tone(0.5))
    pending = owner.reserve()["asset"]["id"]
    assert owner.http.delete(f"/assets/{deleted}").status_code == 204
    sound.rows("delete from assetdock_private.jobs where asset_id = any (%s)", [processing, deleted])
    sound.rows(
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 h', finish_by = now() - interval '1 h'"
        " where id = %s",
        pending,
    )

    repaired = sound.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (
        0,
        [
            ("deleted_without_purge", "repaired"),
            ("pending_past_deadline", "repaired"),
            ("processing_without_probe", "repaired"),
        ],
    )
    assert owner.asset(pending)["state"] == "expired"
    in_30_days = "select available_at > now() + interval '29 days' from assetdock_private.jobs where asset_id = %s"
    assert sound.rows(f"{in_30_days} and finished_at is null", deleted) == [(True,)]
    sound.run_worker()
    assert owner.finished(processing)["state"] == "ready"


def test_jobs_that_nobody_gets_done_are_given_another_chance(sound: Site, owner: Caller) -> None:
    left, failing = owner.land(tone(0.5)), owner.reserve()["asset"]["id"]
    assert owner.http.delete(f"/assets/{failing}").status_code == 204
    sound.rows(
        "update assetdock_private.jobs set attempts = 1, lease_token = gen_random_uuid(), available_at = now() - interval '1 h'"
        " where asset_id = %s",
        left,
    )
    sound.rows(
        "update assetdock_private.jobs set postponed = 9, first_postponed_at = now(), last_error = 'Storage: no',"
        " available_at = now() + interval '5 min'"
        " where asset_id = %s and kind = 'purge'",
        failing,
    )

    found, repaired = sound.reconcile(), sound.reconcile("--repair")

    assert [kind for kind, _ in found.kinds] == ["lease_expired", "purge_failing"]
    assert {line["details"]["last_error"] for line in found.found} == {None, "Storage: no"}
    assert repaired.code == 0
    sound.run_worker()
    assert owner.finished(left)["state"] == "ready"
    end(sound, owner, left)


def test_what_is_counted_for_an_owner_is_counted_anew(sound: Site, owner: Caller) -> None:
    data = tone(0.5)
    owner.land(data)
    sound.rows("update assetdock_private.usage set stored_bytes = 7 where owner_id = %s", owner.owner_id)

    found, repaired = sound.reconcile(), sound.reconcile("--repair")

    assert (found.code, found.kinds) == (1, [("usage_mismatch", "found")])
    assert found.found[0]["details"] == {"counted_bytes": 7, "stored_bytes": len(data)}
    assert (repaired.code, sound.rows(USED, owner.owner_id)) == (0, [(len(data),)])


def test_a_job_that_no_worker_ever_took_is_reported(sound: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(0.5))
    waiting = "update assetdock_private.jobs set available_at = now() - %s::interval where asset_id = %s"
    sound.rows(waiting, "9 minutes", asset_id)
    assert sound.reconcile().found == []
    sound.rows(waiting, "11 minutes", asset_id)

    repaired = sound.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (1, [("job_overdue", "not_repairable")])
    assert "Start a worker" in repaired.found[0]["advice"]
    sound.run_worker()
    assert owner.finished(asset_id)["state"] == "ready"


@pytest.mark.parametrize(
    "gone", ["delete from auth.users where id = %s", "update auth.users set deleted_at = now() where id = %s"]
)
def test_an_owner_deleted_while_the_trigger_was_off_is_noticed(sound: Site, owner: Caller, gone: str) -> None:
    asset_id = owner.land(tone(0.5))
    past_the_triggers(sound, gone, owner.owner_id)

    repaired = sound.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (0, [("owner_deleted", "repaired")])
    sound.run_worker()
    purged = "select purged_at is not null from assetdock_app.assets where id = %s"
    until(lambda: sound.rows(purged, asset_id) == [(True,)], "the purge")


def test_an_object_that_its_asset_never_noticed_is_reported(sound: Site, owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    past_the_triggers(
        sound,
        "insert into storage.objects (bucket_id, name, version, metadata)"
        """ values ('assets', %s, 'v', '{"eTag": "x", "size": 4}')""",
        asset_id,
    )

    repaired = sound.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (1, [("object_not_landed", "not_repairable")])
    end(sound, owner, asset_id)
    assert sound.rows("select count(*) from storage.objects where name = %s", asset_id) == [(0,)]


def test_everything_is_looked_at_however_many_pages_it_takes(sound: Site, owner: Caller) -> None:
    ids = {owner.reserve()["asset"]["id"] for _ in range(7)}
    past_the_triggers(
        sound,
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 h', finish_by = now() - interval '1 h'"
        " where id = any (%s)",
        [*ids],
    )
    found: list[str] = []
    cursor, pages = "objects:", 0
    while cursor is not None:
        [(page,)] = sound.rows("select assetdock.find_discrepancies(%s, 2)", cursor)
        found += [item["subject"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1

    assert sorted(found) == sorted(ids)
    assert pages > 7
    assert sound.reconcile("--repair").code == 0


def test_the_exit_code_says_when_nothing_could_be_found_out(site: Site) -> None:
    site.stack.children["postgrest"].kill()
    try:
        answer = site.reconcile_command()
    finally:
        site.stack.children["postgrest"].restart()

    assert answer.code == 3
    assert "upstream_unavailable" in answer.summary
