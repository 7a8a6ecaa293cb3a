"""The main job for each kind of caller: reserve, upload, wait until ready, download."""

from pathlib import Path

import httpx
import pytest

from tests.callers import Caller, Json
from tests.polling import until
from tests.processes import Service, WorkerProcess
from tests.tone import tone

PUBLISHED_BODY = b'\n{\n  "content_type": "audio/mpeg",\n  "type": "audio_input"\n}\n'


@pytest.fixture(params=["session", "api_key"])
def caller(request: pytest.FixtureRequest, owner: Caller, worker: WorkerProcess) -> Caller:
    return owner if request.param == "session" else owner.key_holder()


def test_a_reserved_upload_becomes_ready_and_can_be_downloaded(caller: Caller) -> None:
    data = tone(seconds=2.345)

    reservation = caller.reserve(filename="tone.wav", size_bytes=len(data), metadata={"take": "7"})
    asset_id = reservation["asset"]["id"]
    early = caller.http.post(f"/assets/{asset_id}/confirm")
    put = caller.upload(reservation, data)
    confirmed = caller.http.post(f"/assets/{asset_id}/confirm")
    asset = caller.wait_until_finished(asset_id)

    assert (early.status_code, early.json()["error"]["code"]) == (409, "upload_incomplete")
    assert int(early.headers["retry-after"]) >= 1
    assert put.status_code == 200
    assert (confirmed.status_code, confirmed.json()["id"]) == (200, asset_id)
    assert asset["state"] == "ready"
    assert asset["duration_seconds"] == "2.345"
    assert asset["size_bytes"] == len(data)
    assert asset["content_type"] == "audio/wav"
    assert asset["metadata"] == {"take": "7"}
    assert asset["filename"] == "tone.wav"
    assert asset["error_code"] is None
    stream = asset["media"]["streams"][0]
    assert (stream["codec"], stream["channels"], stream["sample_rate"]) == ("pcm_s16le", 1, 8000)
    assert httpx.get(asset["download_url"]).content == data
    part = httpx.get(asset["download_url"], headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, b"RIFF")


def test_the_published_curl_body_is_accepted_and_returns_the_canonical_type(owner: Caller) -> None:
    headers = {"Content-Type": "application/json"}

    response = owner.http.post("/assets/upload-url", content=PUBLISHED_BODY, headers=headers)

    assert response.status_code == 201
    document: Json = response.json()
    assert document["asset"]["type"] == "audio"
    assert document["asset"]["state"] == "pending_upload"
    assert document["asset"]["content_type"] == "audio/mpeg"
    assert document["upload"]["method"] == "PUT"
    assert document["upload"]["headers"] == {"Content-Type": "audio/mpeg"}
    assert "/storage/v1/object/upload/sign/assets/" + document["asset"]["id"] + "?token=" in document["upload"]["url"]


@pytest.mark.usefixtures("worker")
def test_an_asset_becomes_ready_although_its_client_disconnects_after_the_put(owner: Caller, wav: bytes) -> None:
    asset_id = owner.land(wav)

    owner.http.close()
    another_client = Caller(owner.project, owner.credential, owner.owner_id)
    assert another_client.wait_until_finished(asset_id)["duration_seconds"] == "1.500"


def test_the_logs_of_an_upload_are_json_lines_without_credentials_or_signed_urls(
    owner: Caller, service: Service, worker: WorkerProcess, wav: bytes
) -> None:
    # Other tests log hostile input.
    before = {each: len(each.output) for each in (service, worker)}
    asset_id = owner.land(wav)
    owner.wait_until_finished(asset_id)

    until(lambda: asset_id in worker.output, "the worker to log the asset")
    for each in (service, worker):
        output = each.output[before[each] :]
        assert asset_id in output
        assert "token=" not in output
        assert owner.credential not in output
        assert all(line.startswith("{") for line in output.splitlines() if line)


@pytest.mark.usefixtures("worker")
def test_a_text_file_uploaded_as_audio_fails_as_unreadable_media(owner: Caller) -> None:
    asset_id = owner.land(Path("pyproject.toml").read_bytes(), content_type="audio/mpeg", filename="song.mp3")

    asset = owner.wait_until_finished(asset_id)

    assert (asset["state"], asset["error_code"]) == ("failed", "unreadable_media")
    assert asset["error_message"]
    assert asset["duration_seconds"] is None
    assert asset["download_url"] is None


@pytest.mark.usefixtures("worker")
def test_an_empty_file_fails_as_unreadable_media(owner: Caller) -> None:
    asset_id = owner.land(b"", content_type="audio/mpeg")

    asset = owner.wait_until_finished(asset_id)

    assert (asset["state"], asset["error_code"], asset["size_bytes"]) == ("failed", "unreadable_media", 0)
