"""POST /assets/{id}/upload-url: a new target for a pending asset."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.callers import Caller, assert_rejected

Database = psycopg.Connection[Any]


def test_a_new_target_works_after_the_first_window_closed(owner: Caller, database: Database, wav: bytes) -> None:
    reservation = owner.reserve(size_bytes=len(wav))
    asset_id = reservation["asset"]["id"]
    database.execute(
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 s' where id = %s", [asset_id]
    )
    assert owner.upload(reservation, wav).status_code == 400

    response = owner.http.post(f"/assets/{asset_id}/upload-url", json={"expires_in": 60})

    assert response.status_code == 200
    renewed = response.json()
    assert renewed["asset"] == reservation["asset"]
    ends = datetime.fromisoformat(renewed["upload"]["expires_at"])
    assert timedelta(seconds=50) < ends - datetime.now(ends.tzinfo) <= timedelta(seconds=61)
    assert owner.upload(renewed, wav).status_code == 200


def test_a_renewal_never_shortens_a_window(owner: Caller) -> None:
    reservation = owner.reserve(expires_in=3600)

    renewed = owner.http.post(f"/assets/{reservation['asset']['id']}/upload-url", json={"expires_in": 60}).json()

    assert renewed["upload"]["expires_at"] == reservation["upload"]["expires_at"]


def test_the_body_is_optional(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    assert owner.http.post(f"/assets/{asset_id}/upload-url").status_code == 200


def test_rejects_a_renewal_after_a_day(owner: Caller, database: Database) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute("update assetdock_private.settings set renewal_window = '1 millisecond' where singleton")
    try:
        response = owner.http.post(f"/assets/{asset_id}/upload-url")
    finally:
        database.execute("update assetdock_private.settings set renewal_window = default where singleton")

    assert_rejected(response, 410, "upload_expired")


def test_rejects_a_renewal_after_the_bytes_landed(owner: Caller, wav: bytes) -> None:
    error = assert_rejected(owner.http.post(f"/assets/{owner.land(wav)}/upload-url"), 409, "asset_not_pending")

    assert "processing" in error["message"] or "ready" in error["message"]


@pytest.mark.parametrize("expires_in", [59, 7201, -1, "60", 2**40])
def test_names_an_invalid_window(owner: Caller, expires_in: Any) -> None:
    response = owner.http.post(f"/assets/{owner.reserve()['asset']['id']}/upload-url", json={"expires_in": expires_in})

    assert assert_rejected(response, 422, "validation_error")["fields"][0]["field"] == "body.expires_in"


def test_another_owners_asset_is_not_found(owner: Caller, stranger: Caller) -> None:
    assert_rejected(stranger.http.post(f"/assets/{owner.reserve()['asset']['id']}/upload-url"), 404, "not_found")
    assert_rejected(stranger.http.post(f"/assets/{uuid.uuid4()}/upload-url"), 404, "not_found")
