"""Asset events, deletion, restoration and long polling."""

import threading
import time
from typing import Any

import httpx
import psycopg
import pytest

from tests.callers import Caller, assert_rejected
from tests.processes import WorkerProcess

Database = psycopg.Connection[Any]


def events(caller: Caller, asset_id: str) -> list[tuple[Any, ...]]:
    items = caller.http.get(f"/assets/{asset_id}/events").json()["items"]
    assert [item["at"] for item in items] == sorted(item["at"] for item in items)
    return [(item["from"], item["to"], item["actor"], item["reason"]) for item in items]


def test_events_record_the_actor_and_reason_of_each_transition(
    owner: Caller, worker: WorkerProcess, wav: bytes
) -> None:
    holder = owner.key_holder()
    asset_id = holder.land(wav)
    owner.wait_until_finished(asset_id)
    owner.http.delete(f"/assets/{asset_id}")
    owner.http.post(f"/assets/{asset_id}/restore")

    prefix = holder.credential[:16]
    assert events(owner, asset_id) == [
        (None, "pending_upload", prefix, "reserved"),
        ("pending_upload", "processing", prefix, "the bytes landed"),
        ("processing", "ready", "worker", "the media was read"),
        ("ready", "deleted", "session", "deleted"),
        ("deleted", "ready", "session", "restored"),
    ]


def test_the_reason_of_a_failure_event_is_the_error_code(owner: Caller, worker: WorkerProcess) -> None:
    asset_id = owner.land(b"no media at all", content_type="audio/mpeg")
    owner.wait_until_finished(asset_id)

    assert events(owner, asset_id)[-1] == ("processing", "failed", "worker", "unreadable_media")


def test_assets_and_events_of_other_owners_are_not_found(owner: Caller, stranger: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    for response in (
        stranger.http.get(f"/assets/{asset_id}/events"),
        stranger.http.delete(f"/assets/{asset_id}"),
        stranger.http.post(f"/assets/{asset_id}/restore"),
        stranger.http.get("/assets/nonsense/events"),
    ):
        assert_rejected(response, 404, "not_found")
    assert owner.asset(asset_id)["state"] == "pending_upload"


def test_deleted_assets_are_listed_only_on_request_and_restored_unchanged(
    owner: Caller, worker: WorkerProcess, wav: bytes
) -> None:
    asset_id = owner.land(wav)
    ready = owner.wait_until_finished(asset_id)

    deleted = [owner.http.delete(f"/assets/{asset_id}") for _ in range(2)]

    assert [response.status_code for response in deleted] == [204, 204]
    asset = owner.asset(asset_id)
    assert (asset["state"], asset["download_url"]) == ("deleted", None)
    assert asset["deleted_at"] is not None
    assert owner.http.get("/assets").json()["items"] == []
    assert [each["id"] for each in owner.http.get("/assets?state=deleted").json()["items"]] == [asset_id]
    restored = owner.http.post(f"/assets/{asset_id}/restore")
    assert restored.status_code == 200
    after = owner.asset(asset_id)
    assert httpx.get(after["download_url"]).content == wav
    signed = ("download_url", "download_expires_at")
    assert {k: v for k, v in after.items() if k not in signed} == {k: v for k, v in ready.items() if k not in signed}
    assert owner.http.post(f"/assets/{asset_id}/restore").status_code == 200  # idempotent


def test_deleted_reservations_can_be_neither_restored_nor_uploaded(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]

    owner.http.delete(f"/assets/{asset_id}")

    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 409, "conflict")
    assert_rejected(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")
    assert_rejected(owner.http.post(f"/assets/{asset_id}/upload-url"), 409, "asset_not_pending")
    assert owner.upload(reservation, wav).json()["message"].startswith("This upload has ended")


def test_restoring_an_asset_that_was_processing_probes_it_again(
    owner: Caller, database: Database, worker: WorkerProcess, wav: bytes
) -> None:
    asset_id = owner.land(wav)
    owner.http.delete(f"/assets/{asset_id}")  # before or after the probe: the outcome must be the same
    before = database.execute("select deleted_from from assetdock_app.assets where id = %s", [asset_id]).fetchone()

    restored = owner.http.post(f"/assets/{asset_id}/restore").json()

    assert (restored["state"],) == before
    assert owner.wait_until_finished(asset_id)["state"] == "ready"


def test_assets_cannot_be_restored_after_the_purge_starts(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)
    owner.http.delete(f"/assets/{asset_id}")
    database.execute("update assetdock_app.assets set purge_started_at = now() where id = %s", [asset_id])

    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 410, "asset_purged")


def test_wait_returns_as_soon_as_the_asset_is_ready(owner: Caller, worker: WorkerProcess, wav: bytes) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    put = threading.Timer(0.5, lambda: owner.upload(reservation, wav))
    put.start()

    started = time.monotonic()
    response = owner.http.get(f"/assets/{asset_id}", params={"wait": 30})

    put.join()
    assert response.json()["state"] == "ready"
    assert response.json()["download_url"]
    assert time.monotonic() - started < 25


def test_wait_returns_the_unchanged_asset_after_the_timeout(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    started = time.monotonic()
    response = owner.http.get(f"/assets/{asset_id}", params={"wait": 1})

    assert (response.status_code, response.json()["state"]) == (200, "pending_upload")
    assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize("wait", ["31", "-1", "soon", "1.5", "99999999999999"])
def test_rejects_invalid_wait_parameters(owner: Caller, wait: str) -> None:
    response = owner.http.get(f"/assets/{owner.reserve()['asset']['id']}", params={"wait": wait})

    assert assert_rejected(response, 422, "validation_error")["fields"][0]["field"] == "query.wait"
