"""The streams and the duration that a probe reports: of every format, of truncated files and of other bytes."""

import asyncio
import random
from decimal import Decimal
from typing import Any

import pytest

from assetdock_server.media.binary import Ffprobe, find
from assetdock_server.media.ffprobe import probe
from assetdock_server.media.report import Media, ReadFailure
from assetdock_server.media.sandbox.run import Limits, run
from assetdock_server.media.verdict import Failed, Ready, judge
from tests.media import SAMPLES, SECONDS, SUBRIP, VIDEO_FRAME, Sample, make, silence, with_long_subtitles
from tests.worker.storage import Storage


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_reports_the_duration_of_every_format(
    sample: Sample, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    make(sample.name, storage.folder)

    report = asyncio.run(probe(storage.url(sample.name), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert report.duration is not None
    assert float(report.duration) == pytest.approx(SECONDS, abs=sample.frame)
    assert report.duration.as_tuple().exponent == -3
    assert report.container == sample.container
    assert report.content_type == sample.content_type
    assert sorted(stream.kind for stream in report.streams) == sorted(sample.kinds)
    expected = "video" if "video" in sample.kinds else "audio"
    assert isinstance(judge(expected, report, sample.content_type), Ready)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_truncated_file_fails_or_has_the_duration_of_its_remaining_bytes(
    sample: Sample, share: float, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    whole = make(sample.name, storage.folder).read_bytes()
    truncated = storage.folder / f"{share}-{sample.name}"
    truncated.write_bytes(whole[: int(len(whole) * share)])

    report = asyncio.run(probe(storage.url(truncated.name), ffprobe=ffprobe, limits=limits))

    if isinstance(report, ReadFailure):
        assert report.reason in ("unreadable", "truncated")
        return
    if report.duration is None:
        assert isinstance(judge("audio", report), Failed)
        return
    assert report.duration < SECONDS, "the probe reported the duration in the header"


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        *("moov-last.mp4", "moov-first.mp4", "sound.m4a", "film.mov", "film.mkv", "film.webm", "recorded.webm"),
        *("constant.mp3", "variable-no-xing.mp3", "sound.wav", "sound.aiff", "sound.flac", "sound.aac"),
    ],
)
def test_probes_an_ordinary_file_with_one_ffprobe(
    name: str, declared: bool, storage: Storage, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's ffprobe takes longer to start than to read. npm's starts at once, and may run more often."""
    ffprobe = asyncio.run(find(storage.folder))
    make(name, storage.folder)
    runs: list[object] = []

    def counting_run(*arguments: Any, **options: Any) -> Any:
        runs.append(arguments)
        return run(*arguments, **options)

    monkeypatch.setattr("assetdock_server.media.ffprobe.run", counting_run)

    content_type = SAMPLES[name].content_type if declared else None
    asyncio.run(probe(storage.url(name), ffprobe=ffprobe, limits=limits, declared=content_type))

    assert len(runs) == 1


@pytest.mark.parametrize(
    "name", ["moov-first.mp4", "film.mkv", "sound.webm", "variable.mp3", "sound.aiff", "sound.flac"]
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_with_fewer_samples_than_it_claims_is_truncated(
    name: str, share: float, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    whole = make(name, storage.folder).read_bytes()
    truncated = storage.folder / f"{share}-{name}"
    truncated.write_bytes(whole[: int(len(whole) * share)])

    assert asyncio.run(probe(storage.url(truncated.name), ffprobe=ffprobe, limits=limits)) == ReadFailure("truncated")


@pytest.mark.parametrize("name", ["long-subtitles.mp4", "long-subtitles.mkv"])
def test_a_video_with_longer_subtitles_is_not_truncated(
    name: str, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    """Its header claims more than the duration of the video, as the header of a truncated file does."""
    with_long_subtitles(storage.folder, name)

    report = asyncio.run(probe(storage.url(name), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(SECONDS, abs=2 * VIDEO_FRAME)


@pytest.mark.parametrize("claimed", [0, 0x7F000000 // 2])
def test_measures_an_aiff_without_a_size(claimed: int, ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    sound = bytearray(make("sound.aiff", storage.folder).read_bytes())
    frames = sound.index(b"COMM") + 10  # after the chunk's name, its size and the number of channels
    sound[frames : frames + 4] = claimed.to_bytes(4, "big")
    half = sound[: 54 + (len(sound) - 54) // 2]
    (storage.folder / "half.aiff").write_bytes(half)

    report = asyncio.run(probe(storage.url("half.aiff"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert report.duration == Decimal("6.000")


@pytest.mark.parametrize("has_count", [True, False])
def test_a_flac_with_too_few_samples_is_truncated_and_one_without_a_count_is_measured(
    has_count: bool, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    sound = bytearray(make("sound.flac", storage.folder).read_bytes())
    if not has_count:  # in STREAMINFO: 36 bits from the middle of byte 21 of the file
        sound[21] &= 0xF0
        sound[22:26] = bytes(4)
    (storage.folder / "truncated.flac").write_bytes(sound[: len(sound) // 2])

    report = asyncio.run(probe(storage.url("truncated.flac"), ffprobe=ffprobe, limits=limits))

    if has_count:
        assert report == ReadFailure("truncated")
    else:
        assert isinstance(report, Media)
        assert report.duration is not None
        assert 0 < report.duration < SECONDS


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_measures_a_wav_without_a_size(size: int, ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    sound = bytearray(silence(storage.folder / "plain.wav", seconds=7).read_bytes())
    sound[4:8] = sound[40:44] = size.to_bytes(4, "little")
    (storage.folder / "endless.wav").write_bytes(sound)

    report = asyncio.run(probe(storage.url("endless.wav"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert report.duration == Decimal("7.000")


def test_a_subrip_file_lasts_until_the_end_of_its_last_cue(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    (storage.folder / "cuts").write_text(SUBRIP)

    report = asyncio.run(probe(storage.url("cuts"), ffprobe=ffprobe, limits=limits))

    verdict = judge("cut_file", report, "application/x-subrip")
    assert isinstance(verdict, Ready)
    assert verdict.duration == Decimal("9.500")
    assert verdict.media == {
        "container": "srt",
        "bit_rate": int(len(SUBRIP) * 8 / 9.5),
        "streams": [{"kind": "subtitle", "codec": "subrip"}],
    }


def test_describes_every_stream_of_a_video(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    make("moov-last.mp4", storage.folder)

    report = asyncio.run(probe(storage.url("moov-last.mp4"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    document = report.as_json()
    assert document["container"] == "mp4"
    assert isinstance(document["bit_rate"], int)
    video, audio = (stream.as_json() for stream in report.streams)
    assert {**video, "bit_rate": None} == {
        "kind": "video",
        "codec": "h264",
        "width": 320,
        "height": 240,
        "frame_rate": "29.970",
        "display_width": 320,
        "display_height": 240,
        "hdr": False,
        "bit_rate": None,
    }
    assert {**audio, "bit_rate": None} == {
        "kind": "audio",
        "codec": "aac",
        "channels": 1,
        "channel_layout": "mono",
        "sample_rate": 44100,
        "bit_rate": None,
    }
    assert 1 / float(str(video["frame_rate"])) == pytest.approx(VIDEO_FRAME, abs=1e-4)


def test_reports_the_rotation_of_a_portrait_video(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    video = make("moov-first.mp4", storage.folder).read_bytes()
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    unrotated = one + zero + zero + zero + one + zero  # ISO 14496-12, 8.3.2: the first six numbers of a track's matrix
    # Phones write this matrix for portrait.
    rotated = zero + one + zero + (-1 << 16).to_bytes(4, "big", signed=True) + zero + zero
    track = video.index(b"tkhd")
    (storage.folder / "portrait.mp4").write_bytes(video[:track] + video[track:].replace(unrotated, rotated, 1))

    report = asyncio.run(probe(storage.url("portrait.mp4"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    shown = report.streams[0].as_json()
    assert shown["rotation"] == 90
    assert (shown["width"], shown["height"]) == (320, 240)
    assert (shown["display_width"], shown["display_height"]) == (240, 320)


NOISE = random.Random(20261124)  # noqa: S311 - not a secret
NOT_MEDIA = {
    "empty": b"",
    "one byte": b"\0",
    "text": b"This is plain text in a file with the name of an MP3.\n" * 40,
    "HTML": b"<!doctype html><html><body>404</body></html>",
    "SubRip without a cue": b"1\n\n2\n\n",
    "PNG": bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"),
    **{f"noise of {size} bytes": NOISE.randbytes(size) for size in (100, 5_000, 50_000, 400_000, 2_000_000)},
}


@pytest.mark.parametrize("content", NOT_MEDIA.values(), ids=NOT_MEDIA)
def test_bytes_that_are_not_media_are_unreadable(
    content: bytes, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    (storage.folder / "not-media.mp3").write_bytes(content)

    report = asyncio.run(probe(storage.url("not-media.mp3"), ffprobe=ffprobe, limits=limits))

    for asset_type in ("audio", "video", "rendered_video", "cut_file"):
        verdict = judge(asset_type, report)
        assert isinstance(verdict, Failed)
        assert verdict.code == "unreadable_media"
