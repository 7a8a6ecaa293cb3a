"""Real media files whose headers mislead, from the reservation to ready or failed."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.callers import Caller
from tests.media import SAMPLES, SECONDS, make
from tests.processes import PROJECT


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    "name",
    [
        "moov-last.mp4",
        "sound.wav",
        "piped.wav",
        "constant-no-xing.mp3",
        "variable-no-xing.mp3",
        "recorded.webm",
        "cover.mp3",
    ],
)
def test_a_file_becomes_ready_with_its_duration_size_and_streams(owner: Caller, tmp_path: Path, name: str) -> None:
    sample, data = SAMPLES[name], make(name, tmp_path).read_bytes()

    asset = owner.wait_until_finished(
        owner.land(data, type=sample.content_type.split("/")[0], content_type=sample.content_type, size_bytes=len(data))
    )

    assert asset["state"] == "ready", asset
    assert float(Decimal(asset["duration_seconds"])) == pytest.approx(SECONDS, abs=sample.frame + 0.001)
    assert asset["size_bytes"] == len(data)
    assert asset["content_type"] == sample.content_type
    assert asset["media"]["container"] == sample.container
    assert tuple(stream["kind"] for stream in asset["media"]["streams"]) == sample.kinds


@pytest.mark.usefixtures("worker")
def test_audio_reserved_as_video_fails_with_type_mismatch(owner: Caller, tmp_path: Path) -> None:
    data = make("sound.m4a", tmp_path).read_bytes()

    asset = owner.wait_until_finished(owner.land(data, type="video", content_type="video/mp4"))

    assert (asset["state"], asset["error_code"]) == ("failed", "type_mismatch")


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("name", "declared", "content_type"),
    [
        ("sound.m4a", "audio/mpeg", "audio/mp4"),
        ("sound.aac", "audio/mpeg", "audio/aac"),
        ("sound.caf", "audio/opus", "audio/x-caf"),
        ("voice.3gp", "video/3gpp", "audio/3gpp"),
        ("sound.webm", "video/webm;codecs=vp8,opus", "audio/webm"),
        ("sound.flac", "binary/octet-stream", "audio/flac"),
    ],
)
def test_a_wrong_content_type_is_corrected_and_kept(
    owner: Caller, tmp_path: Path, name: str, declared: str, content_type: str
) -> None:
    data = make(name, tmp_path).read_bytes()

    asset = owner.wait_until_finished(owner.land(data, content_type=declared))

    assert (asset["state"], asset["error_message"]) == ("ready", None)
    assert (asset["content_type"], asset["declared_content_type"]) == (content_type, declared)


@pytest.mark.usefixtures("worker")
def test_a_page_a_picture_and_a_silent_video_are_no_sound(owner: Caller, tmp_path: Path) -> None:
    page = b"<!doctype html><title>Sign in</title><script>fetch('/')</script>" * 100
    picture = (PROJECT / "docs/images/sign-in-phone-dark.png").read_bytes()
    silent = make("late.mp4", tmp_path).read_bytes()
    landed = {
        "page": owner.land(page, content_type="audio/mpeg"),
        "picture": owner.land(picture, type="video", content_type="video/mp4"),
        "silent video": owner.land(silent, type="video", content_type="audio/mp4"),
        "silent video as audio": owner.land(silent, content_type="audio/mp4"),
    }

    codes = {name: owner.wait_until_finished(asset_id)["error_code"] for name, asset_id in landed.items()}

    assert codes == {
        "page": "unreadable_media",
        "picture": "unreadable_media",
        "silent video": "content_type_mismatch",
        "silent video as audio": "no_media_stream",
    }


@pytest.mark.usefixtures("worker")
def test_an_asset_reserved_without_a_content_type_gets_the_detected_one(owner: Caller, tmp_path: Path) -> None:
    data = make("sound.flac", tmp_path).read_bytes()
    reservation = owner.reserve(content_type=None)
    assert owner.upload(reservation, data).status_code == 200

    asset = owner.wait_until_finished(reservation["asset"]["id"])
    assert (asset["content_type"], asset["declared_content_type"]) == ("audio/flac", "application/octet-stream")
