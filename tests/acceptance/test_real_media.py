"""Real media files whose headers mislead, from the reservation to ready or failed."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.callers import Caller
from tests.media import SAMPLES, SECONDS, make


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
def test_bytes_of_another_format_than_declared_fail_with_content_type_mismatch(owner: Caller, tmp_path: Path) -> None:
    data = make("sound.flac", tmp_path).read_bytes()

    asset = owner.wait_until_finished(owner.land(data, content_type="audio/mpeg"))

    assert (asset["state"], asset["error_code"]) == ("failed", "content_type_mismatch")


@pytest.mark.usefixtures("worker")
def test_an_asset_reserved_without_a_content_type_gets_the_detected_one(owner: Caller, tmp_path: Path) -> None:
    data = make("sound.flac", tmp_path).read_bytes()
    reservation = owner.reserve(content_type=None)
    assert owner.upload(reservation, data).status_code == 200

    assert owner.wait_until_finished(reservation["asset"]["id"])["content_type"] == "audio/flac"
