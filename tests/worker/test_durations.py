"""Streams and durations of every format, and of truncated files."""

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
from tests.media import PICTURE, SAMPLES, SECONDS, SUBRIP, Sample, make, silence, with_long_titles
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
def test_a_truncated_file_fails_or_lasts_as_long_as_its_rest(
    sample: Sample, share: float, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    whole = make(sample.name, storage.folder).read_bytes()
    cut = storage.folder / f"{share}-{sample.name}"
    cut.write_bytes(whole[: int(len(whole) * share)])

    report = asyncio.run(probe(storage.url(cut.name), ffprobe=ffprobe, limits=limits))

    if isinstance(report, ReadFailure):
        assert report.reason in ("unreadable", "truncated")
        return
    if report.duration is None:
        assert isinstance(judge("audio", report), Failed)
        return
    assert report.duration < SECONDS, "the header was believed"


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        *("moov-last.mp4", "moov-first.mp4", "sound.m4a", "film.mov", "film.mkv", "film.webm", "recorded.webm"),
        *("constant.mp3", "variable-no-xing.mp3", "sound.wav", "sound.aiff", "sound.flac", "sound.ogg", "sound.aac"),
    ],
)
def test_probes_an_ordinary_file_with_one_ffprobe(
    name: str, declared: bool, storage: Storage, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Starting the one on PATH costs more than what it does; npm's starts in no time, and takes more passes."""
    ffprobe = asyncio.run(find(storage.folder))
    make(name, storage.folder)
    starts: list[object] = []

    def counted(*arguments: Any, **options: Any) -> Any:
        starts.append(arguments)
        return run(*arguments, **options)

    monkeypatch.setattr("assetdock_server.media.ffprobe.run", counted)

    asyncio.run(
        probe(
            storage.url(name), ffprobe=ffprobe, limits=limits, declared=SAMPLES[name].content_type if declared else None
        )
    )

    assert len(starts) == 1


@pytest.mark.parametrize(
    "name", ["moov-first.mp4", "film.mkv", "sound.webm", "variable.mp3", "sound.aiff", "sound.flac"]
)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_with_fewer_samples_than_it_claims_is_truncated(
    name: str, share: float, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    whole = make(name, storage.folder).read_bytes()
    cut = storage.folder / f"{share}-{name}"
    cut.write_bytes(whole[: int(len(whole) * share)])

    assert asyncio.run(probe(storage.url(cut.name), ffprobe=ffprobe, limits=limits)) == ReadFailure("truncated")


@pytest.mark.parametrize("name", ["long-titles.mp4", "long-titles.mkv"])
def test_a_film_with_longer_titles_is_not_truncated(
    name: str, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    """It claims more than its pictures last, as one that was cut does."""
    with_long_titles(storage.folder, name)

    report = asyncio.run(probe(storage.url(name), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(SECONDS, abs=2 * PICTURE)


@pytest.mark.parametrize("claimed", [0, 0x7F000000 // 2])
def test_measures_an_aiff_without_a_size(claimed: int, ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    sound = bytearray(make("sound.aiff", storage.folder).read_bytes())
    frames = sound.index(b"COMM") + 10  # after the chunk's size and the number of channels
    sound[frames : frames + 4] = claimed.to_bytes(4, "big")
    half = sound[: 54 + (len(sound) - 54) // 2]
    (storage.folder / "half.aiff").write_bytes(half)

    report = asyncio.run(probe(storage.url("half.aiff"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert report.duration == Decimal("6.000")


@pytest.mark.parametrize("counted", [True, False])
def test_a_flac_with_too_few_samples_is_truncated_and_one_without_a_count_is_measured(
    counted: bool, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    sound = bytearray(make("sound.flac", storage.folder).read_bytes())
    if not counted:  # STREAMINFO: 36 bits from the middle of byte 21 on
        sound[21] &= 0xF0
        sound[22:26] = bytes(4)
    (storage.folder / "cut.flac").write_bytes(sound[: len(sound) // 2])

    report = asyncio.run(probe(storage.url("cut.flac"), ffprobe=ffprobe, limits=limits))

    if counted:
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


def test_subrip_lasts_until_the_end_of_its_last_cue(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
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
    shown = report.as_json()
    assert shown["container"] == "mp4"
    assert isinstance(shown["bit_rate"], int)
    video, audio = (stream.as_json() for stream in report.streams)
    assert {**video, "bit_rate": None} == {
        "kind": "video",
        "codec": "h264",
        "width": 320,
        "height": 240,
        "frame_rate": "29.970",
        "bit_rate": None,
    }
    assert {**audio, "bit_rate": None} == {
        "kind": "audio",
        "codec": "aac",
        "channels": 1,
        "sample_rate": 44100,
        "bit_rate": None,
    }
    assert 1 / float(str(video["frame_rate"])) == pytest.approx(PICTURE, abs=1e-4)


def test_reports_the_rotation_of_a_portrait_video(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    film = make("moov-first.mp4", storage.folder).read_bytes()
    one, zero = (1 << 16).to_bytes(4, "big"), bytes(4)
    level = one + zero + zero + zero + one + zero  # ISO 14496-12, 8.3.2: the first six of a track's matrix
    upright = zero + one + zero + (-1 << 16).to_bytes(4, "big", signed=True) + zero + zero  # as phones write it
    track = film.index(b"tkhd")
    (storage.folder / "upright.mp4").write_bytes(film[:track] + film[track:].replace(level, upright, 1))

    report = asyncio.run(probe(storage.url("upright.mp4"), ffprobe=ffprobe, limits=limits))

    assert isinstance(report, Media)
    assert report.streams[0].as_json()["rotation"] == 90


NOISE = random.Random(20261124)  # noqa: S311 - not a secret
NOT_MEDIA = {
    "nothing": b"",
    "one byte": b"\0",
    "text": b"This is an ordinary letter, whatever its name says.\n" * 40,
    "HTML": b"<!doctype html><html><body>404</body></html>",
    "SubRip without a cue": b"1\n\n2\n\n",
    "a picture": bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"),
    **{f"noise of {size} bytes": NOISE.randbytes(size) for size in (100, 5_000, 50_000, 400_000, 2_000_000)},
}


@pytest.mark.parametrize("content", NOT_MEDIA.values(), ids=NOT_MEDIA)
def test_bytes_that_are_not_media_are_unreadable(
    content: bytes, ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    (storage.folder / "letter.mp3").write_bytes(content)

    report = asyncio.run(probe(storage.url("letter.mp3"), ffprobe=ffprobe, limits=limits))

    for asset_type in ("audio", "video", "rendered_video", "cut_file"):
        verdict = judge(asset_type, report)
        assert isinstance(verdict, Failed)
        assert verdict.code == "unreadable_media"
