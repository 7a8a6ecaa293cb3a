"""The end of an asset, over HTTP: deleted, restored, purged, expired, left behind by its owner."""

import hashlib

import httpx

from tests.callers import Caller, refused
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone

PURGED = "select purged_at is not null from assetdock_app.assets where id = %s"
USED = "select stored_bytes from assetdock_private.usage where owner_id = %s"


def purge(site: Site, asset_id: str) -> None:
    """Lets the grace of a deleted asset be over, and waits for a worker to notice."""
    site.rows("update assetdock_private.jobs set available_at = now() where asset_id = %s and kind = 'purge'", asset_id)
    until(lambda: site.rows(PURGED, asset_id) == [(True,)], "the purge")


def test_a_deleted_asset_is_gone_from_lists_and_restored_as_it_was(working: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))
    ready = owner.finished(asset_id)

    for _ in range(2):
        assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    listed = owner.http.get("/assets").json()["items"]
    gone = owner.asset(asset_id)
    restored = owner.http.post(f"/assets/{asset_id}/restore")

    assert listed == []
    assert (gone["state"], gone["download_url"]) == ("deleted", None)
    assert restored.status_code == 200
    assert {**owner.asset(asset_id), "download_url": 0, "download_expires_at": 0} == {
        **ready, "download_url": 0, "download_expires_at": 0
    }  # fmt: skip
    events = owner.http.get(f"/assets/{asset_id}/events").json()["items"]
    assert [event["to"] for event in events] == ["pending_upload", "processing", "ready", "deleted", "ready"]


def test_a_restored_asset_that_was_never_probed_is_probed(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    assert owner.http.post(f"/assets/{asset_id}/restore").json()["state"] == "processing"

    site.work()

    assert owner.finished(asset_id)["state"] == "ready"


def test_the_bytes_stay_for_the_grace_and_are_purged_after_it(working: Site, owner: Caller) -> None:
    working.rows("update assetdock_private.settings set deletion_grace = '3 seconds' where singleton")
    data = tone(1.0)
    asset_id = owner.land(data)
    url = owner.finished(asset_id)["download_url"]
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    assert httpx.get(url).content == data
    assert working.rows(USED, owner.owner_id) == [(len(data),)]
    assert working.object_file(asset_id)

    until(lambda: working.rows(PURGED, asset_id) == [(True,)], "the purge")

    waited = working.rows(
        "select purge_started_at - deleted_at >= '3 s' from assetdock_app.assets where id = %s", asset_id
    )
    assert waited == [(True,)]
    assert httpx.get(url).status_code == 400
    assert not working.object_file(asset_id)
    assert working.rows("select count(*) from storage.objects where name = %s", asset_id) == [(0,)]
    assert working.rows(USED, owner.owner_id) == [(0,)]
    refused(owner.http.post(f"/assets/{asset_id}/restore"), 410, "asset_purged")
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204


def test_an_upload_url_is_of_no_use_after_the_purge(working: Site, owner: Caller) -> None:
    reservation = owner.reserve()
    assert owner.upload(reservation, tone(1.0)).status_code == 200
    asset_id = reservation["asset"]["id"]
    owner.finished(asset_id)
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    purge(working, asset_id)

    again = owner.upload(reservation, tone(1.0))

    assert again.status_code == 400
    assert again.json()["statusCode"] == "403"
    assert "Reserve a new one" in again.json()["message"]
    assert not working.object_file(asset_id)


def test_restoring_is_refused_from_the_moment_a_purge_begins(site: Site, owner: Caller) -> None:
    """Between begin_purge and the deletion in Storage the bytes are still there, and already lost."""
    asset_id = owner.land(tone(1.0))
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    site.rows("update assetdock_private.jobs set available_at = now() where asset_id = %s and kind = 'purge'", asset_id)
    [(job,)] = site.rows("select assetdock.lease_jobs('test', 1, 5, array['purge']) -> 'jobs' -> 0")
    assert job["asset"]["id"] == asset_id
    assert site.rows("select assetdock.begin_purge(%s, %s)", job["id"], job["lease_token"])

    refused(owner.http.post(f"/assets/{asset_id}/restore"), 410, "asset_purged")
    site.work()
    until(lambda: site.rows(PURGED, asset_id) == [(True,)], "the next worker to finish the purge")
    assert not site.object_file(asset_id)


def test_what_never_landed_is_deleted_at_once_and_not_restored(working: Site, owner: Caller) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]

    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204

    refused(owner.http.post(f"/assets/{asset_id}/restore"), 409, "conflict")
    assert owner.upload(reservation, tone(1.0)).json()["statusCode"] == "403"
    refused(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")
    until(lambda: working.rows(PURGED, asset_id) == [(True,)], "the purge of nothing")


def test_a_reservation_expires_when_nothing_can_land_any_more(working: Site, owner: Caller) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    working.rows("update assetdock_app.assets set upload_expires_at = now(), finish_by = now() where id = %s", asset_id)

    until(lambda: owner.asset(asset_id)["state"] == "expired", "a worker to keep house")

    assert owner.upload(reservation, tone(1.0)).json()["statusCode"] == "403"
    refused(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")
    events = owner.http.get(f"/assets/{asset_id}/events").json()["items"]
    assert [(event["to"], event["actor"]) for event in events][1:] == [("expired", "system")]
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    refused(owner.http.post(f"/assets/{asset_id}/restore"), 409, "conflict")


def test_deleting_gives_the_quota_back_once_the_bytes_are_gone(working: Site, owner: Caller) -> None:
    data = tone(1.0)
    working.rows(
        "insert into assetdock_private.limits (owner_id, stored_bytes) values (%s, %s)", owner.owner_id, len(data) + 10
    )
    asset_id = owner.land(data)
    refused(
        owner.http.post("/assets/upload-url", json={"type": "audio", "size_bytes": len(data)}),
        403,
        "storage_quota_exceeded",
    )
    owner.finished(asset_id)
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204

    purge(working, asset_id)

    assert owner.finished(owner.land(data, size_bytes=len(data)))["state"] == "ready"


def test_everything_of_a_deleted_user_goes_at_once(working: Site, owner: Caller) -> None:
    key_holder = owner.key_holder()
    landed = [owner.land(tone(0.5)) for _ in range(3)]
    pending = owner.reserve()
    deleted = owner.land(tone(0.5))
    assert owner.http.delete(f"/assets/{deleted}").status_code == 204
    bystander = working.owner()
    kept = bystander.land(tone(0.5))
    admin = f"{working.stack.supabase_url}/auth/v1/admin/users/{owner.owner_id}"

    assert httpx.delete(admin, headers={"apikey": working.stack.secret_key}).status_code == 200

    refused(key_holder.http.get("/assets"), 401, "unauthenticated")
    refused(owner.http.get("/assets"), 401, "unauthenticated")
    ids = [*landed, pending["asset"]["id"], deleted]
    open_assets = "select count(*) from assetdock_app.assets where owner_id = %s and purged_at is null"
    until(lambda: working.rows(open_assets, owner.owner_id) == [(0,)], "everything to be purged")
    assert [working.object_file(asset_id) for asset_id in ids] == [[]] * 5
    assert working.rows(USED, owner.owner_id) == [(0,)]
    assert working.rows("select count(*) from assetdock_app.api_keys where owner_id = %s", owner.owner_id) == [(0,)]
    assert owner.upload(pending, tone(0.5)).json()["statusCode"] == "403"
    assert bystander.finished(kept)["state"] == "ready"
    assert working.object_file(kept)


def test_a_checksum_given_beforehand_is_held_against_the_bytes(working: Site, owner: Caller) -> None:
    data = tone(1.0)
    right, wrong = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"other").hexdigest()

    good = owner.finished(owner.land(data, sha256=right.upper()))
    bad = owner.finished(owner.land(data, sha256=wrong))

    assert good["state"] == "ready"
    assert (bad["state"], bad["error_code"], bad["duration_seconds"]) == ("failed", "checksum_mismatch", None)


def test_the_log_follows_one_asset_from_its_reservation_to_ready(working: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))
    owner.finished(asset_id)

    reserved = [line for line in working.service.tail(500).splitlines() if asset_id in line and "upload-url" in line]
    assert [f'"asset_id":"{asset_id}"' in line for line in reserved] == [True]
    ready = [line for line in working.workers["worker"].tail(500).splitlines() if asset_id in line]
    assert any('"event":"asset_ready"' in line for line in ready)
