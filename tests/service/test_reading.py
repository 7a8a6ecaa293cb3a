"""GET /assets/{id}, POST …/confirm and GET /assets."""

from typing import Any

import psycopg
import pytest

from tests.callers import Caller, assert_rejected

MALFORMED = ["nonsense", "019de7f7-3a52-74d1-9eeb", "%00", "019de7f7_3a52_74d1_9eeb_323e0bfb7bb9", "'; drop table x"]


@pytest.mark.parametrize("asset_id", ["019de7f7-3a52-74d1-9eeb-323e0bfb7bb9", *MALFORMED])
def test_an_unknown_id_is_not_found(owner: Caller, asset_id: str) -> None:
    assert_rejected(owner.http.get(f"/assets/{asset_id}"), 404, "not_found")
    assert_rejected(owner.http.post(f"/assets/{asset_id}/confirm"), 404, "not_found")


def test_another_owners_asset_is_not_found(owner: Caller, stranger: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    assert_rejected(stranger.http.get(f"/assets/{asset_id}"), 404, "not_found")
    assert_rejected(stranger.http.post(f"/assets/{asset_id}/confirm"), 404, "not_found")
    assert stranger.http.get("/assets").json()["items"] == []


def test_a_pending_asset_has_no_download_url(owner: Caller) -> None:
    reserved = owner.reserve()["asset"]

    shown = owner.asset(reserved["id"])

    assert shown == {**reserved, "download_url": None, "download_expires_at": None}


def test_ids_are_case_insensitive(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]

    assert owner.asset(asset_id.upper())["id"] == asset_id


def test_confirm_reports_upload_expired_after_finish_by(owner: Caller, database: psycopg.Connection[Any]) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute(
        "update assetdock_app.assets set upload_expires_at = now() - interval '2 hours', finish_by = now()"
        " where id = %s",
        [asset_id],
    )

    assert_rejected(owner.http.post(f"/assets/{asset_id}/confirm"), 410, "upload_expired")


def test_confirm_reports_upload_incomplete_between_the_end_of_the_window_and_finish_by(
    owner: Caller, database: psycopg.Connection[Any]
) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute(
        "update assetdock_app.assets set upload_expires_at = now() - interval '1 s' where id = %s", [asset_id]
    )

    response = owner.http.post(f"/assets/{asset_id}/confirm")

    assert_rejected(response, 409, "upload_incomplete")
    assert response.headers["retry-after"] == "1"


def test_pages_show_every_asset_once_newest_first(owner: Caller) -> None:
    made = [owner.reserve()["asset"]["id"] for _ in range(7)]
    seen: list[str] = []
    cursor = None

    while True:
        query = {"limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = owner.http.get("/assets", params=query).json()
        assert page["limit"] == 3
        seen += [asset["id"] for asset in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break

    assert seen == sorted(made, reverse=True)


def test_a_list_can_be_filtered_and_counted(owner: Caller) -> None:
    owner.reserve(type="audio")
    owner.reserve(type="video", content_type="video/mp4")

    videos = owner.http.get("/assets", params={"type": "video", "include_total": "true"}).json()
    pending = owner.http.get("/assets", params={"state": "pending_upload"}).json()
    ready = owner.http.get("/assets", params={"state": "ready", "include_total": "true"}).json()

    assert [asset["type"] for asset in videos["items"]] == ["video"]
    assert videos["total"] == 1
    assert len(pending["items"]) == 2
    assert "total" not in pending
    assert ready == {"items": [], "limit": 20, "next_cursor": None, "total": 0}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ({"limit": "0"}, "query.limit"),
        ({"limit": "101"}, "query.limit"),
        ({"limit": "ten"}, "query.limit"),
        ({"limit": "99999999999999999999"}, "query.limit"),
        ({"state": "lost"}, "query.state"),
        ({"type": "podcast"}, "query.type"),
        ({"include_total": "maybe"}, "query.include_total"),
        ({"state": "\0"}, "query.state"),
    ],
)
def test_names_an_invalid_query_parameter(owner: Caller, query: dict[str, str], wrong: str) -> None:
    error = assert_rejected(owner.http.get("/assets", params=query), 422, "validation_error")

    assert [each["field"] for each in error["fields"]] == [wrong]


def test_rejects_a_cursor_that_the_owner_did_not_receive(owner: Caller, stranger: Caller) -> None:
    for _ in range(2):
        stranger.reserve()
    foreign = stranger.http.get("/assets", params={"limit": 1}).json()["next_cursor"]

    for cursor in (foreign, "x", "A" * 32, foreign[:-1], "é"):
        assert_rejected(owner.http.get("/assets", params={"cursor": cursor}), 400, "bad_request")
