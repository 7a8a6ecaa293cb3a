"""Events, deletion and restoration, waiting."""

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


def test_the_history_says_who_did_what_and_why(owner: Caller, worker: WorkerProcess, wav: bytes) -> None:
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


def test_the_history_of_a_failure_names_its_code(owner: Caller, worker: WorkerProcess) -> None:
    asset_id = owner.land(b"no media at all", content_type="audio/mpeg")
    owner.wait_until_finished(asset_id)

    assert events(owner, asset_id)[-1] == ("processing", "failed", "worker", "unreadable_media")


def test_a_strangers_history_is_not_found(owner: Caller, stranger: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    for answer in (
        stranger.http.get(f"/assets/{asset_id}/events"),
        stranger.http.delete(f"/assets/{asset_id}"),
        stranger.http.post(f"/assets/{asset_id}/restore"),
        stranger.http.get("/assets/nonsense/events"),
    ):
        assert_rejected(answer, 404, "not_found")
    assert owner.asset(asset_id)["state"] == "pending_upload"


def test_a_deleted_asset_is_listed_only_when_asked_for_and_comes_back_as_it_was(
    owner: Caller, worker: WorkerProcess, wav: bytes
) -> None:
    asset_id = owner.land(wav)
    ready = owner.wait_until_finished(asset_id)

    deleted = [owner.http.delete(f"/assets/{asset_id}") for _ in range(2)]

    assert [answer.status_code for answer in deleted] == [204, 204]
    shown = owner.asset(asset_id)
    assert (shown["state"], shown["download_url"]) == ("deleted", None)
    assert shown["deleted_at"] is not None
    assert owner.http.get("/assets").json()["items"] == []
    assert [each["id"] for each in owner.http.get("/assets?state=deleted").json()["items"]] == [asset_id]
    restored = owner.http.post(f"/assets/{asset_id}/restore")
    assert restored.status_code == 200
    again = owner.asset(asset_id)
    assert httpx.get(again["download_url"]).content == wav
    moving = ("download_url", "download_expires_at")
    assert {k: v for k, v in again.items() if k not in moving} == {k: v for k, v in ready.items() if k not in moving}
    assert owner.http.post(f"/assets/{asset_id}/restore").status_code == 200  # idempotent


def test_what_never_had_bytes_cannot_be_restored_nor_uploaded_any_more(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]

    owner.http.delete(f"/assets/{asset_id}")

    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 409, "conflict")
    assert_rejected(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")
    assert_rejected(owner.http.post(f"/assets/{asset_id}/upload-url"), 409, "asset_not_pending")
    assert owner.upload(reservation, wav).json()["message"].startswith("This upload has ended")


def test_a_restored_asset_that_was_being_processed_is_probed_again(
    owner: Caller, database: Database, worker: WorkerProcess, wav: bytes
) -> None:
    asset_id = owner.land(wav)
    owner.http.delete(f"/assets/{asset_id}")  # before or after its probe: both must end well
    before = database.execute("select deleted_from from assetdock_app.assets where id = %s", [asset_id]).fetchone()

    restored = owner.http.post(f"/assets/{asset_id}/restore").json()

    assert (restored["state"],) == before
    assert owner.wait_until_finished(asset_id)["state"] == "ready"


def test_once_the_purge_has_begun_there_is_no_way_back(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)
    owner.http.delete(f"/assets/{asset_id}")
    database.execute("update assetdock_app.assets set purge_started_at = now() where id = %s", [asset_id])

    assert_rejected(owner.http.post(f"/assets/{asset_id}/restore"), 410, "asset_purged")


def test_waiting_returns_as_soon_as_the_asset_is_ready(owner: Caller, worker: WorkerProcess, wav: bytes) -> None:
    reservation = owner.reserve()
    asset_id = reservation["asset"]["id"]
    put = threading.Timer(0.5, lambda: owner.upload(reservation, wav))
    put.start()

    started = time.monotonic()
    answer = owner.http.get(f"/assets/{asset_id}", params={"wait": 30})

    put.join()
    assert answer.json()["state"] == "ready"
    assert answer.json()["download_url"]
    assert time.monotonic() - started < 25


def test_waiting_in_vain_answers_with_the_asset_as_it_is(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    started = time.monotonic()
    answer = owner.http.get(f"/assets/{asset_id}", params={"wait": 1})

    assert (answer.status_code, answer.json()["state"]) == (200, "pending_upload")
    assert time.monotonic() - started >= 0.9


@pytest.mark.parametrize("wait", ["31", "-1", "soon", "1.5", "99999999999999"])
def test_a_wrong_wait_is_named(owner: Caller, wait: str) -> None:
    answer = owner.http.get(f"/assets/{owner.reserve()['asset']['id']}", params={"wait": wait})

    assert assert_rejected(answer, 422, "validation_error")["fields"][0]["field"] == "query.wait"
