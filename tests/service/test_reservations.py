"""POST /assets/upload-url and the Edge Function of the same name, field by field."""

import json
import uuid
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.callers import BOTH_ENDPOINTS, Caller, assert_rejected

pytestmark = BOTH_ENDPOINTS


def invalid_fields(error: dict[str, Any]) -> set[str]:
    return {each["field"] for each in error["fields"]}


def instant(text: str) -> datetime:
    assert len(text) == len("2026-05-02T08:54:52.423000Z")
    assert text.endswith("Z")
    return datetime.fromisoformat(text)


def test_the_response_has_the_reservation_and_the_upload_target(owner: Caller) -> None:
    response = owner.http.post(owner.upload_url, json={"type": "video"})

    asset, upload = response.json()["asset"], response.json()["upload"]
    assert response.headers["cache-control"] == "no-store"
    assert uuid.UUID(asset["id"]).version == 7
    assert asset == {
        "id": asset["id"],
        "type": "video",
        "state": "pending_upload",
        "created_at": asset["created_at"],
        "metadata": {},
        "size_bytes": None,
        "content_type": None,
        "declared_content_type": None,
        "duration_seconds": None,
        "filename": None,
        "source_asset_id": None,
        "error_code": None,
        "error_message": None,
        "media": None,
        "ready_at": None,
        "deleted_at": None,
    }
    assert set(upload) == {"method", "url", "headers", "expires_at", "resumable"}
    assert upload["headers"] == {}
    assert instant(upload["expires_at"]) - instant(asset["created_at"]) == timedelta(seconds=900)


def test_the_upload_can_be_resumable(owner: Caller) -> None:
    named, unnamed = owner.reserve(content_type="audio/mpeg"), owner.reserve(content_type=None)
    resumable = named["upload"]["resumable"]

    assert resumable == {
        "protocol": "tus",
        "version": "1.0.0",
        "url": f"{owner.project.supabase_url}/storage/v1/upload/resumable/sign",
        "headers": {"x-signature": parse_qs(urlsplit(named["upload"]["url"]).query)["token"][0]},
        "metadata": {"bucketName": "assets", "objectName": named["asset"]["id"], "contentType": "audio/mpeg"},
        "chunk_size": 6_291_456,
    }
    assert set(unnamed["upload"]["resumable"]["metadata"]) == {"bucketName", "objectName"}


def test_created_at_is_the_time_in_the_id(owner: Caller) -> None:
    asset = owner.reserve()["asset"]

    milliseconds = uuid.UUID(asset["id"]).int >> 80
    assert instant(asset["created_at"]).timestamp() == pytest.approx(milliseconds / 1000, abs=0.0005)


def test_expires_in_sets_the_window_up_to_the_lifetime_of_the_url(owner: Caller) -> None:
    short, long = owner.reserve(expires_in=60), owner.reserve(expires_in=7200)

    def lasts(reservation: dict[str, Any]) -> float:
        ends, starts = reservation["upload"]["expires_at"], reservation["asset"]["created_at"]
        return (instant(ends) - instant(starts)).total_seconds()

    assert 59 <= lasts(short) <= 61
    assert 7190 <= lasts(long) <= 7201


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"type": "podcast"}, "body.type"),
        ({"type": ""}, "body.type"),
        ({"type": None}, "body.type"),
        ({"type": 3}, "body.type"),
        ({"type": ["audio"]}, "body.type"),
        ({"type": "audio\0"}, "body.type"),
        ({"content_type": "audio"}, "body.content_type"),
        ({"content_type": "audio/mpeg\r\nX-Evil: 1"}, "body.content_type"),
        ({"content_type": "text/html"}, "body.content_type"),
        ({"content_type": "audio/mpeg;" + "x" * 245}, "body.content_type"),
        ({"content_type": "audio/mpeg; title=é"}, "body.content_type"),
        ({"content_type": 5}, "body.content_type"),
        ({"content_type": "audio/mpeg\0"}, "body.content_type"),
        ({"filename": ""}, "body.filename"),
        ({"filename": "a\nb.mp3"}, "body.filename"),
        ({"filename": "x" * 256}, "body.filename"),
        ({"filename": "\ud800"}, "body.filename"),
        ({"size_bytes": 0}, "body.size_bytes"),
        ({"size_bytes": -1}, "body.size_bytes"),
        ({"size_bytes": 1.5}, "body.size_bytes"),
        ({"size_bytes": "12"}, "body.size_bytes"),
        ({"size_bytes": True}, "body.size_bytes"),
        ({"size_bytes": 2**63}, "body.size_bytes"),
        ({"size_bytes": 10**100}, "body.size_bytes"),
        ({"sha256": "abc"}, "body.sha256"),
        ({"sha256": "g" * 64}, "body.sha256"),
        ({"metadata": []}, "body.metadata"),
        ({"metadata": {"a": 1}}, "body.metadata.a"),
        ({"metadata": {"a": "b" * 4096}}, "body.metadata"),
        ({"metadata": {"a": "\0"}}, "body.metadata.a"),
        ({"expires_in": 59}, "body.expires_in"),
        ({"expires_in": 7201}, "body.expires_in"),
        ({"expires_in": 2**31}, "body.expires_in"),
        ({"expires_in": "900"}, "body.expires_in"),
        ({"source_asset_id": "nonsense"}, "body.source_asset_id"),
        ({"source_asset_id": str(uuid.uuid4())}, "body.source_asset_id"),
    ],
)
def test_names_an_invalid_field(owner: Caller, fields: dict[str, Any], wrong: str) -> None:
    body = json.dumps({"type": "audio", **fields})  # ASCII: lone surrogates are sent as escapes
    response = owner.http.post(owner.upload_url, content=body, headers={"Content-Type": "application/json"})
    error = assert_rejected(response, 422, "validation_error")

    assert invalid_fields(error) == {wrong}


def test_names_the_first_twenty_invalid_fields(owner: Caller) -> None:
    body = {"type": "audio", "metadata": {f"k{n}": n for n in range(100)}}

    error = assert_rejected(owner.http.post(owner.upload_url, json=body), 422, "validation_error")

    assert [each["field"] for each in error["fields"]] == [f"body.metadata.k{n}" for n in range(20)]


def test_names_all_invalid_fields_at_once(owner: Caller) -> None:
    body = {"type": "podcast", "size_bytes": -5, "expires_in": 1, "filename": "", "sha256": "x"}

    error = assert_rejected(owner.http.post(owner.upload_url, json=body), 422, "validation_error")

    assert invalid_fields(error) == {f"body.{name}" for name in body}


def test_unknown_fields_are_ignored(owner: Caller) -> None:
    asset = owner.reserve(duration_seconds=3, colour="blue")["asset"]

    assert asset["duration_seconds"] is None


@pytest.mark.parametrize("asset_type", ["rendered_video", "cut_file"])
def test_processor_types_need_the_scope_assets_produce(owner: Caller, asset_type: str) -> None:
    assert_rejected(owner.http.post(owner.upload_url, json={"type": asset_type}), 409, "asset_type_not_uploadable")


def test_rejects_a_size_over_the_limit_at_the_reservation(owner: Caller) -> None:
    response = owner.http.post(owner.upload_url, json={"type": "video", "size_bytes": 2**62})

    error = assert_rejected(response, 413, "asset_too_large")
    assert "5368709120" in error["message"]


@pytest.mark.parametrize("content_type", ["audio/ogg; codecs=opus", "video/webm;codecs=vp8,opus"])
def test_keeps_the_parameters_of_a_content_type(owner: Caller, content_type: str) -> None:
    reservation = owner.reserve(content_type=content_type)

    assert reservation["upload"]["headers"] == {"Content-Type": content_type}
