"""The end of an asset, over HTTP: deletion, restoration, purge, expiry, and the deletion of its owner."""

import hashlib

import httpx
import pytest

from tests.callers import Caller, assert_rejected
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone

PURGED = "select purged_at is not null from assetdock_app.assets where id = %s"
USED = "select stored_bytes from assetdock_private.usage where owner_id = %s"


def purge(site: Site, asset_id: str) -> None:
    """Ends the grace period of a deleted asset and waits until a worker has purged its bytes."""
    site.rows("update assetdock_private.jobs set available_at = now() where asset_id = %s and kind = 'purge'", asset_id)
    until(lambda: site.rows(PURGED, asset_id) == [(True,)], "the purge")


@pytest.mark.usefixtures("running_worker")
def test_a_deleted_asset_is_not_listed_and_is_restored_unchanged(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))
    ready = owner.wait_until_finished(asset_id)

    for _ in range(2):
        assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    listed = owner.http.get("/assets").json()["items"]
    deleted = owner.asset(asset_id)
    restored = owner.http.post(f"/assets/{asset_id}/restore")

    assert listed == []
    assert (deleted["state"], deleted["download_url"]) == ("deleted", None)
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

    site.run_worker()

    assert owner.wait_until_finished(asset_id)["state"] == "ready"


@pytest.mark.usefixtures("running_worker")
def test_the_bytes_of_a_deleted_asset_are_purged_after_the_grace_period(site: Site, owner: Caller) -> None:
    site.rows("update assetdock_private.settings set deletion_grace = '3 seconds' where singleton")
    data = tone(1.0)
    asset_id = owner.land(data)
    url = owner.wait_until_finished(asset_id)["download_url"]
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    assert httpx.get(url).content == data
    assert site.rows(USED, owner.owner_id) == [(len(data),)]
    assert site.object_files(asset_id)

    until(lambda: site.rows(PURGED, asset_id) == [(True,)], "the purge")

    waited = site.rows(
        "select purge_started_at - deleted_at >= '3 s' from assetdock_app.assets where id = %s", asset_id
    )
    assert waited == [(True,)]
    assert httpx.get(url).status_code == 400
    assert not site.object_files(asset_id)
    assert site.rows("select count(*) from storage.objects where name = %s", asset_id) == [(0,)]
    assert site.rows(USED, owner.owner_id) == [(0,)]
    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 410, "asset_purged")
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204


@pytest.mark.usefixtures("running_worker")
def test_an_upload_url_is_rejected_after_the_purge(site: Site, owner: Caller) -> None:
    reservation = owner.reserve()
    assert owner.upload(reservation, tone(1.0)).status_code == 200
    asset_id = reservation["asset"]["id"]
    owner.wait_until_finished(asset_id)
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    purge(site, asset_id)

    response = owner.upload(reservation, tone(1.0))

    assert response.status_code == 400
    assert response.json()["statusCode"] == "403"
    assert "Reserve a new asset" in response.json()["message"]
    assert not site.object_files(asset_id)


def test_an_asset_cannot_be_restored_once_its_purge_has_begun(site: Site, owner: Caller) -> None:
    """Between begin_purge and the deletion in Storage, the bytes still exist."""
    asset_id = owner.land(tone(1.0))
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    site.rows("update assetdock_private.jobs set available_at = now() where asset_id = %s and kind = 'purge'", asset_id)
    [(job,)] = site.rows("select assetdock.lease_jobs('test', 1, 5, array['purge']) -> 'jobs' -> 0")
    assert job["asset"]["id"] == asset_id
    assert site.rows("select assetdock.begin_purge(%s, %s)", job["id"], job["lease_token"])

    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 410, "asset_purged")
    site.run_worker()
    until(lambda: site.rows(PURGED, asset_id) == [(True,)], "the next worker to finish the purge")
    assert not site.object_files(asset_id)


@pytest.mark.usefixtures("running_worker")
def test_an_asset_without_bytes_is_purged_at_once_and_cannot_be_restored(site: Site, owner: Caller) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]

    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204

    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 409, "conflict")
    assert owner.upload(reservation, tone(1.0)).json()["statusCode"] == "403"
    assert_rejected(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")
    until(lambda: site.rows(PURGED, asset_id) == [(True,)], "the purge")


@pytest.mark.usefixtures("running_worker")
def test_a_reservation_expires_once_no_upload_can_land(site: Site, owner: Caller) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    site.rows("update assetdock_app.assets set upload_expires_at = now(), finish_by = now() where id = %s", asset_id)

    until(lambda: owner.asset(asset_id)["state"] == "expired", "a worker to run maintenance")

    assert owner.upload(reservation, tone(1.0)).json()["statusCode"] == "403"
    assert_rejected(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")
    events = owner.http.get(f"/assets/{asset_id}/events").json()["items"]
    assert [(event["to"], event["actor"]) for event in events][1:] == [("expired", "system")]
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204
    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 409, "conflict")


@pytest.mark.usefixtures("running_worker")
def test_a_purge_frees_the_quota(site: Site, owner: Caller) -> None:
    data = tone(1.0)
    site.rows(
        "insert into assetdock_private.limits (owner_id, stored_bytes) values (%s, %s)", owner.owner_id, len(data) + 10
    )
    asset_id = owner.land(data)
    assert_rejected(
        owner.http.post("/assets/upload-url", json={"type": "audio", "size_bytes": len(data)}),
        403,
        "storage_quota_exceeded",
    )
    owner.wait_until_finished(asset_id)
    assert owner.http.delete(f"/assets/{asset_id}").status_code == 204

    purge(site, asset_id)

    assert owner.wait_until_finished(owner.land(data, size_bytes=len(data)))["state"] == "ready"


@pytest.mark.usefixtures("running_worker")
def test_the_keys_and_assets_of_a_deleted_user_are_removed_at_once(site: Site, owner: Caller) -> None:
    key_holder = owner.key_holder()
    landed = [owner.land(tone(0.5)) for _ in range(3)]
    pending = owner.reserve()
    deleted = owner.land(tone(0.5))
    assert owner.http.delete(f"/assets/{deleted}").status_code == 204
    stranger = site.owner()
    kept = stranger.land(tone(0.5))
    admin = f"{site.stack.supabase_url}/auth/v1/admin/users/{owner.owner_id}"

    assert httpx.delete(admin, headers={"apikey": site.stack.secret_key}).status_code == 200

    assert_rejected(key_holder.http.get("/assets"), 401, "unauthenticated")
    assert_rejected(owner.http.get("/assets"), 401, "unauthenticated")
    ids = [*landed, pending["asset"]["id"], deleted]
    open_assets = "select count(*) from assetdock_app.assets where owner_id = %s and purged_at is null"
    until(lambda: site.rows(open_assets, owner.owner_id) == [(0,)], "everything to be purged")
    assert [site.object_files(asset_id) for asset_id in ids] == [[]] * 5
    assert site.rows(USED, owner.owner_id) == [(0,)]
    assert site.rows("select count(*) from assetdock_app.api_keys where owner_id = %s", owner.owner_id) == [(0,)]
    assert owner.upload(pending, tone(0.5)).json()["statusCode"] == "403"
    assert stranger.wait_until_finished(kept)["state"] == "ready"
    assert site.object_files(kept)


@pytest.mark.usefixtures("running_worker")
def test_a_reserved_checksum_is_compared_with_the_bytes(site: Site, owner: Caller) -> None:
    data = tone(1.0)
    right, wrong = hashlib.sha256(data).hexdigest(), hashlib.sha256(b"other").hexdigest()

    matching = owner.wait_until_finished(owner.land(data, sha256=right.upper()))
    different = owner.wait_until_finished(owner.land(data, sha256=wrong))

    assert matching["state"] == "ready"
    assert different["state"] == "failed"
    assert (different["error_code"], different["duration_seconds"]) == ("checksum_mismatch", None)


@pytest.mark.usefixtures("running_worker")
def test_the_logs_name_the_asset_at_its_reservation_and_when_it_is_ready(site: Site, owner: Caller) -> None:
    asset_id = owner.land(tone(1.0))
    owner.wait_until_finished(asset_id)

    reserved = [line for line in site.service.tail(500).splitlines() if asset_id in line and "upload-url" in line]
    assert [f'"asset_id":"{asset_id}"' in line for line in reserved] == [True]
    ready = [line for line in site.workers["worker"].tail(500).splitlines() if asset_id in line]
    assert any('"event":"asset_ready"' in line for line in ready)
