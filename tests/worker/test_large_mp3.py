"""Probes of large MP3s: a sample of frames, or the whole file if the sample is not conclusive."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from assetdock_server.gateways.pool import http_pool
from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.ffprobe import probe
from assetdock_server.media.mp3 import duration as mp3
from assetdock_server.media.object_bytes import read_range
from assetdock_server.media.report import Media, ReadFailure, Report, TransientError
from assetdock_server.media.sandbox.run import Limits
from tests.media import MP3_FRAME, SAMPLES, SECONDS, make
from tests.worker.mp3s import NO_TAGS, forged
from tests.worker.storage import Storage


def _large(ffprobe: Ffprobe, storage: Storage, limits: Limits, name: str) -> Report:
    """The report that a worker makes of an MP3 that counts as large."""
    size = (storage.folder / name).stat().st_size

    async def ask() -> Report:
        async with http_pool() as pool:
            url = storage.url(name)
            look = partial(read_range, pool.downloads, url)
            return await probe(url, ffprobe=ffprobe, limits=limits, declared="audio/mpeg", size=size, read_range=look)

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "name", ["constant.mp3", "cover.mp3", "variable.mp3", "constant-no-xing.mp3", "variable-no-xing.mp3"]
)
def test_reports_the_duration_of_a_large_mp3(
    name: str, ffprobe: Ffprobe, storage: Storage, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp3, "LARGE", 1)
    make(name, storage.folder)

    report = _large(ffprobe, storage, limits, name)

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(SECONDS, abs=SAMPLES[name].frame)


@pytest.mark.parametrize("times", [0.5, 0.97, 1.03, 2, 40])
@pytest.mark.parametrize("name", ["constant.mp3", "variable.mp3"])
def test_checks_the_frame_count_of_a_large_mp3(
    name: str,
    times: float,
    *,
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mp3, "LARGE", 1)
    content = forged(make(name, storage.folder).read_bytes(), times, sealed=False)
    (storage.folder / "forged.mp3").write_bytes(content)

    report = _large(ffprobe, storage, limits, "forged.mp3")

    if times > 1:
        assert report == ReadFailure("truncated")
    else:
        assert isinstance(report, Media)
        assert float(report.duration or 0) == pytest.approx(SECONDS, abs=2 * SAMPLES[name].frame)


@pytest.mark.parametrize(
    "arguments", [("-b:a", "320k"), ("-b:a", "320k", *NO_TAGS), ("-ac", "2", "-q:a", "0")], ids=" ".join
)
def test_reads_little_of_a_large_mp3(
    arguments: tuple[str, ...],
    sound: Callable[..., bytes],
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
) -> None:
    data = sound(300, *arguments)
    assert len(data) >= mp3.LARGE
    (storage.folder / "long.mp3").write_bytes(data)

    report = _large(ffprobe, storage, limits, "long.mp3")

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(300, abs=3 * MP3_FRAME)
    assert storage.sent < len(data) / 4


def test_counts_audio_spliced_into_a_large_mp3(
    sound: Callable[..., bytes], ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    around = sound(240, "-b:a", "320k", *NO_TAGS)
    advert = sound(15, "-b:a", "64k", *NO_TAGS)
    half = len(around) // 2
    (storage.folder / "podcast.mp3").write_bytes(around[:half] + advert + around[half:])

    report = _large(ffprobe, storage, limits, "podcast.mp3")

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(255, abs=4 * MP3_FRAME)


def test_reads_a_small_mp3_without_sampling(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    size = make("constant.mp3", storage.folder).stat().st_size
    looked: list[int] = []

    async def look(place: int, length: int) -> bytes:
        looked.append(place)
        return bytes(length)

    url = storage.url("constant.mp3")
    report = asyncio.run(probe(url, ffprobe=ffprobe, limits=limits, declared="audio/mpeg", size=size, read_range=look))

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(SECONDS, abs=SAMPLES["constant.mp3"].frame)
    assert not looked


def test_reads_the_whole_mp3_when_sampling_times_out(
    sound: Callable[..., bytes], ffprobe: Ffprobe, storage: Storage, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_look: mp3.ReadRange, _size: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("assetdock_server.media.ffprobe.SAMPLING_SECONDS", 0.1)
    monkeypatch.setattr(mp3, "seconds", never)
    (storage.folder / "slow.mp3").write_bytes(sound(240, "-b:a", "320k", *NO_TAGS))

    report = _large(ffprobe, storage, limits, "slow.mp3")

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(240, abs=3 * MP3_FRAME)


@pytest.mark.parametrize(("failures", "is_read"), [(1, True), (2, False)])
def test_retries_a_failed_range_read_once(
    failures: int,
    *,
    is_read: bool,
    sound: Callable[..., bytes],
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of hundreds one will. Trouble that stays is Storage's, and says nothing about the file."""
    monkeypatch.setattr("assetdock_server.media.ffprobe.RETRY_SECONDS", 0.0)
    data = sound(240, "-b:a", "320k", *NO_TAGS)
    (storage.folder / "troubled.mp3").write_bytes(data)
    asked: list[int] = []

    async def look(place: int, length: int) -> bytes:
        asked.append(place)
        if place > len(data) // 2 and asked.count(place) <= failures:
            raise TransientError("Storage answered HTTP 503")
        return data[place : place + length]

    async def ask() -> Report:
        url, size = storage.url("troubled.mp3"), len(data)
        return await probe(url, ffprobe=ffprobe, limits=limits, declared="audio/mpeg", size=size, read_range=look)

    if is_read:
        report = asyncio.run(ask())
        assert isinstance(report, Media)
        assert float(report.duration or 0) == pytest.approx(240, abs=3 * MP3_FRAME)
        assert storage.sent < len(data) / 2
    else:
        with pytest.raises(TransientError, match="503"):
            asyncio.run(ask())
