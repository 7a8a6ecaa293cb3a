"""The command reconcile finds every discrepancy that bypassed the triggers, and repairs those that it can repair."""

from collections.abc import Iterator

import pytest

from tests.callers import Caller
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone

USED = "select stored_bytes from assetdock_private.usage where owner_id = %s"


@pytest.fixture
def consistent_site(site: Site) -> Iterator[Site]:
    """A site without discrepancies, before and after the test."""
    assert site.reconcile("--repair").code == 0
    yield site
    assert site.reconcile("--repair").code == 0, "the test left a discrepancy"


def bypass_triggers(site: Site, statement: str, *parameters: object) -> None:
    with site.database() as connection, connection.transaction():
        connection.execute("set local session_replication_role = replica")
        connection.execute("set local storage.allow_delete_query = 'true'")
        connection.execute(statement, parameters)


def delete_and_purge(site: Site, owner: Caller, *ids: str) -> None:
    """Deletes assets and waits until the worker has purged them."""
    for asset_id in ids:
        assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    site.rows(
        "update assetdock_private.jobs set available_at = now() where asset_id = any (%s) and finished_at is null",
        [*ids],
    )
    site.run_worker()
    purged = "select count(*) from assetdock_app.assets where id = any (%s) and purged_at is null"
    until(lambda: site.rows(purged, [*ids]) == [(0,)], "the purge")


@pytest.mark.usefixtures("consistent_site")
def test_reconcile_finds_nothing_on_a_consistent_site(site: Site, owner: Caller) -> None:
    site.run_worker()
    owner.wait_until_finished(owner.land(tone(0.5)))

    result = site.reconcile_command()

    assert (result.code, result.found) == (0, [])
    assert "Nothing is wrong." in result.summary


@pytest.mark.usefixtures("consistent_site")
def test_objects_without_an_asset_are_deleted_through_storage(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(0.5))
    # As after restoring a backup of the database: the object exists and its asset does not.
    for table in ("assetdock_private.jobs", "assetdock_app.asset_events"):
        bypass_triggers(site, f"delete from {table} where asset_id = %s", asset_id)
    bypass_triggers(site, "delete from assetdock_app.assets where id = %s", asset_id)
    bypass_triggers(site, "delete from assetdock_private.usage where owner_id = %s", owner.owner_id)
    bypass_triggers(
        site, "insert into storage.objects (bucket_id, name, version) values ('assets', 'folder/readme.txt', 'v')"
    )

    found = site.reconcile_command()
    repaired = site.reconcile_command("--repair")

    assert (found.code, found.kinds) == (1, [("object_without_asset", "found")] * 2)
    assert {line["subject"] for line in found.found} == {asset_id, "folder/readme.txt"}
    assert (repaired.code, repaired.kinds) == (0, [("object_without_asset", "repaired")] * 2)
    assert site.rows("select count(*) from storage.objects where name = %s", asset_id) == [(0,)]
    assert not site.object_files(asset_id)


@pytest.mark.usefixtures("consistent_site")
def test_assets_without_an_object_are_failed_or_reported(site: Site, owner: Caller) -> None:
    data = tone(0.5)
    site.run_worker()
    ready, failed = owner.land(data), owner.land(b"no media at all")
    assert (owner.wait_until_finished(ready)["state"], owner.wait_until_finished(failed)["state"]) == (
        "ready",
        "failed",
    )
    site.pause_workers()
    processing = owner.land(data)
    bypass_triggers(site, "delete from storage.objects where name = any (%s)", [ready, failed, processing])

    found = site.reconcile()
    repaired = site.reconcile("--repair")

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
    assert site.rows(USED, owner.owner_id) == [(len(data),)]
    delete_and_purge(site, owner, ready, failed, processing)
    assert site.rows(USED, owner.owner_id) == [(0,)]
    assert site.reconcile().code == 0


@pytest.mark.usefixtures("consistent_site")
def test_a_probe_that_finds_no_object_fails_the_asset_and_subtracts_its_bytes(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(0.5))
    bypass_triggers(site, "delete from storage.objects where name = %s", asset_id)
    site.run_worker()

    asset = owner.wait_until_finished(asset_id)

    assert (asset["state"], asset["error_code"]) == ("failed", "bytes_missing")
    assert site.rows(USED, owner.owner_id) == [(0,)]
    delete_and_purge(site, owner, asset_id)
    assert site.rows(USED, owner.owner_id) == [(0,)]


@pytest.mark.usefixtures("consistent_site")
def test_assets_without_a_job_or_past_their_window_are_repaired(site: Site, owner: Caller) -> None:
    processing, deleted = owner.land(tone(0.5)), owner.land(tone(0.5))
    pending = owner.reserve()["asset"]["id"]
    assert owner.http.delete(f"/assets/{deleted}").status_code == 204
    site.rows("delete from assetdock_private.jobs where asset_id = any (%s)", [processing, deleted])
    site.rows(
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 h', finish_by = now() - interval '1 h'"
        " where id = %s",
        pending,
    )

    repaired = site.reconcile("--repair")

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
    assert site.rows(f"{in_30_days} and finished_at is null", deleted) == [(True,)]
    site.run_worker()
    assert owner.wait_until_finished(processing)["state"] == "ready"


@pytest.mark.usefixtures("consistent_site")
def test_jobs_with_expired_leases_or_repeated_failures_are_made_available_again(site: Site, owner: Caller) -> None:
    abandoned, failing = owner.land(tone(0.5)), owner.reserve()["asset"]["id"]
    assert owner.http.delete(f"/assets/{failing}").status_code == 204
    site.rows(
        "update assetdock_private.jobs set attempts = 1, lease_token = gen_random_uuid(),"
        " available_at = now() - interval '1 h' where asset_id = %s",
        abandoned,
    )
    site.rows(
        "update assetdock_private.jobs set postponed = 9, first_postponed_at = now(), last_error = 'Storage: no',"
        " available_at = now() + interval '5 min'"
        " where asset_id = %s and kind = 'purge'",
        failing,
    )

    found, repaired = site.reconcile(), site.reconcile("--repair")

    assert [kind for kind, _ in found.kinds] == ["lease_expired", "purge_failing"]
    assert {line["details"]["last_error"] for line in found.found} == {None, "Storage: no"}
    assert repaired.code == 0
    site.run_worker()
    assert owner.wait_until_finished(abandoned)["state"] == "ready"
    delete_and_purge(site, owner, abandoned)


@pytest.mark.usefixtures("consistent_site")
def test_a_wrong_usage_of_an_owner_is_counted_again(site: Site, owner: Caller) -> None:
    data = tone(0.5)
    owner.land(data)
    site.rows("update assetdock_private.usage set stored_bytes = 7 where owner_id = %s", owner.owner_id)

    found, repaired = site.reconcile(), site.reconcile("--repair")

    assert (found.code, found.kinds) == (1, [("usage_mismatch", "found")])
    assert found.found[0]["details"] == {"counted_bytes": 7, "stored_bytes": len(data)}
    assert (repaired.code, site.rows(USED, owner.owner_id)) == (0, [(len(data),)])


@pytest.mark.usefixtures("consistent_site")
def test_a_job_that_no_worker_leased_for_ten_minutes_is_reported(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(0.5))
    waiting = "update assetdock_private.jobs set available_at = now() - %s::interval where asset_id = %s"
    site.rows(waiting, "9 minutes", asset_id)
    assert site.reconcile().found == []
    site.rows(waiting, "11 minutes", asset_id)

    repaired = site.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (1, [("job_overdue", "not_repairable")])
    assert "Start a worker" in repaired.found[0]["advice"]
    site.run_worker()
    assert owner.wait_until_finished(asset_id)["state"] == "ready"


@pytest.mark.parametrize(
    "deletion", ["delete from auth.users where id = %s", "update auth.users set deleted_at = now() where id = %s"]
)
@pytest.mark.usefixtures("consistent_site")
def test_the_assets_of_an_owner_deleted_while_the_trigger_was_disabled_are_purged(
    site: Site, owner: Caller, deletion: str
) -> None:
    asset_id = owner.land(tone(0.5))
    bypass_triggers(site, deletion, owner.owner_id)

    repaired = site.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (0, [("owner_deleted", "repaired")])
    site.run_worker()
    purged = "select purged_at is not null from assetdock_app.assets where id = %s"
    until(lambda: site.rows(purged, asset_id) == [(True,)], "the purge")


@pytest.mark.usefixtures("consistent_site")
def test_an_object_whose_asset_did_not_land_is_reported(site: Site, owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    bypass_triggers(
        site,
        "insert into storage.objects (bucket_id, name, version, metadata)"
        """ values ('assets', %s, 'v', '{"eTag": "x", "size": 4}')""",
        asset_id,
    )

    repaired = site.reconcile("--repair")

    assert (repaired.code, repaired.kinds) == (1, [("object_not_landed", "not_repairable")])
    delete_and_purge(site, owner, asset_id)
    assert site.rows("select count(*) from storage.objects where name = %s", asset_id) == [(0,)]


@pytest.mark.usefixtures("consistent_site")
def test_the_search_for_discrepancies_covers_all_pages(site: Site, owner: Caller) -> None:
    ids = {owner.reserve()["asset"]["id"] for _ in range(7)}
    bypass_triggers(
        site,
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 h', finish_by = now() - interval '1 h'"
        " where id = any (%s)",
        [*ids],
    )
    found: list[str] = []
    cursor, pages = "objects:", 0
    while cursor is not None:
        [(page,)] = site.rows("select assetdock.find_discrepancies(%s, 2)", cursor)
        found += [item["subject"] for item in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1

    assert sorted(found) == sorted(ids)
    assert pages > 7
    assert site.reconcile("--repair").code == 0


def test_reconcile_exits_with_3_when_the_database_is_unavailable(site: Site) -> None:
    site.stack.children["postgrest"].kill()
    try:
        result = site.reconcile_command()
    finally:
        site.stack.children["postgrest"].restart()

    assert result.code == 3
    assert "upstream_unavailable" in result.summary
