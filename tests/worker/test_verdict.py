"""The verdict on a probed file, and the message for its uploader."""

from decimal import Decimal
from typing import get_args

import pytest

from assetdock_server.media.content_types import is_one_of
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
        ("Audio/MPEG; charset=binary", "mp3"),
        ("audio/ogg;", "ogg"),
        ("video/x-matroska;codecs=avc1", "matroska"),
        ("audio/mpeg", "mp4"),
        ("audio/mpeg", "aac"),
        ("audio/opus", "caf"),
        ("video/webm", "mp3"),
        ("application/ogg", "wav"),
        ("binary/octet-stream", "flac"),
        ("", "flac"),
    ],
)
def test_a_wrong_content_type_of_the_same_kind_is_corrected(declared: str, container: str) -> None:
    media = Media(container, (AUDIO,), duration=DURATION)

    assert judge("audio", media, declared) == Ready(DURATION, media.content_type, media.as_json())


@pytest.mark.parametrize("declared", ["text/html", "text/plain", "image/png", "video/svg+xml", "application/mxf"])
def test_a_content_type_of_another_kind_fails(declared: str) -> None:
    assert code("audio", AUDIO, declared=declared) == "content_type_mismatch"


def test_an_audio_type_promises_sound() -> None:
    assert code("video", VIDEO, declared="audio/mp4") == "content_type_mismatch"
    assert code("video", VIDEO, AUDIO, declared="audio/mp4") == "ready"
    assert code("audio", VIDEO, declared="audio/mp4") == "no_media_stream"


def test_subtitles_are_no_media_and_media_are_no_subtitles() -> None:
    assert code("cut_file", SUBTITLES, container="srt", declared="text/plain") == "ready"
    assert code("cut_file", SUBTITLES, container="srt", declared="audio/mpeg") == "content_type_mismatch"
    assert code("cut_file", AUDIO, declared="text/srt") == "type_mismatch"


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
