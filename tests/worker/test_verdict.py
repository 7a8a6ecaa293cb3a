"""The verdict on a probed file, and the message for its uploader."""

from decimal import Decimal
from typing import get_args

import pytest

from assetdock_server.media.content_types import CONTAINERS, agrees, is_one_of
from assetdock_server.media.report import Media, ReadFailure, Stream
from assetdock_server.media.verdict import AssetType, Failed, Ready, judge

AUDIO = Stream(0, "audio", "aac", channels=2, sample_rate=48000)
VIDEO = Stream(1, "video", "h264", width=1920, height=1080, frame_rate="25.000")
COVER = Stream(2, "data", "mjpeg")
SUBTITLES = Stream(0, "subtitle", "subrip")
DURATION = Decimal("1.000")


def code(asset_type: AssetType, *streams: Stream, container: str = "mp4", declared: str | None = None) -> str:
    verdict = judge(asset_type, Media(container, streams, duration=DURATION), declared)
    return verdict.code if isinstance(verdict, Failed) else "ready"


def test_each_asset_type_needs_its_streams() -> None:
    assert code("audio", AUDIO) == "ready"
    assert code("audio", AUDIO, VIDEO) == "ready"
    assert code("audio", AUDIO, COVER) == "ready"
    assert code("audio", VIDEO) == "no_media_stream"
    assert code("video", AUDIO, VIDEO) == "ready"
    assert code("video", VIDEO) == "ready"
    assert code("video", AUDIO) == "type_mismatch"
    assert code("video", AUDIO, COVER) == "type_mismatch"
    assert code("rendered_video", AUDIO) == "type_mismatch"
    assert code("video") == "no_media_stream"
    assert code("audio", SUBTITLES, container="srt") == "no_media_stream"
    assert code("cut_file", SUBTITLES, container="srt") == "ready"
    assert code("cut_file", AUDIO) == "type_mismatch"


@pytest.mark.parametrize("asset_type", get_args(AssetType))
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("unreadable", "unreadable_media"),
        ("missing", "bytes_missing"),
        ("timed_out", "probe_timeout"),
        ("crashed", "probe_crashed"),
    ],
)
def test_a_read_failure_has_the_error_code_of_its_reason(asset_type: AssetType, reason: str, expected: str) -> None:
    verdict = judge(asset_type, ReadFailure(reason))  # type: ignore[arg-type]

    assert isinstance(verdict, Failed)
    assert verdict.code == expected
    assert verdict.message.endswith(".")


@pytest.mark.parametrize("duration", [None, Decimal("99999999999.000")])
def test_a_file_without_a_valid_duration_is_unreadable(duration: Decimal | None) -> None:
    verdict = judge("audio", Media("mp3", (AUDIO,), duration=duration))

    assert isinstance(verdict, Failed)
    assert verdict.code == "unreadable_media"


def test_a_ready_asset_has_the_detected_content_type() -> None:
    media = Media("mp4", (AUDIO, VIDEO), size=1_000_000, duration=Decimal("8.000"))

    verdict = judge("video", media, "application/octet-stream")

    assert verdict == Ready(Decimal("8.000"), "video/mp4", media.as_json())
    assert media.as_json()["bit_rate"] == 1_000_000


@pytest.mark.parametrize(
    ("declared", "container"),
    [
        ("audio/mp3", "mp3"),
        ("Audio/MPEG; charset=binary", "mp3"),
        ("audio/x-wav", "wav"),
        ("audio/x-m4a", "mp4"),
        ("video/quicktime", "mp4"),
        ("video/mp4", "mov"),
        ("application/ogg", "ogg"),
        ("audio/ogg; codecs=opus", "ogg"),
        ("audio/webm", "webm"),
        ("video/x-matroska;codecs=avc1", "matroska"),
        ("text/plain", "srt"),
        ("audio/unknown", "caf"),
        ("", "flac"),
    ],
)
def test_accepts_a_content_type_of_the_same_family(declared: str, container: str) -> None:
    assert agrees(declared, container)


@pytest.mark.parametrize(
    ("declared", "container"),
    [
        ("audio/mpeg", "wav"),
        ("video/mp4", "matroska"),
        ("video/webm", "mp4"),
        ("audio/ogg", "mp3"),
        ("text/html", "mp3"),
        ("text/plain", "mp4"),
        ("image/png", "mp4"),
        ("audio/mpeg", "srt"),
    ],
)
def test_rejects_a_content_type_of_another_family(declared: str, container: str) -> None:
    assert not agrees(declared, container)
    verdict = judge("audio", Media(container, (AUDIO,), duration=DURATION), declared)
    assert isinstance(verdict, Failed)
    assert verdict.code in ("content_type_mismatch", "no_media_stream")


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ("audio/ogg; codecs=opus", True),
        ("video/OGG", True),
        ("audio/opus", False),
        ("audio/flac", False),
        (None, False),
    ],
)
def test_a_content_type_must_name_only_the_given_containers(declared: str | None, expected: bool) -> None:
    assert is_one_of(declared, {"ogg", "mpeg"}) is expected


@pytest.mark.parametrize("container", CONTAINERS)
def test_accepts_every_content_type_of_the_detected_container(container: str) -> None:
    for content_type in CONTAINERS[container]:
        assert agrees(content_type, container)
        assert agrees("application/octet-stream", container)
