"""Probes of large MP3s: the worker samples frames, and reads the whole file if the samples are not conclusive."""

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
from tests.worker.mp3s import NO_TAGS, forge_frame_count
from tests.worker.storage import Storage


def _probe_as_large(ffprobe: Ffprobe, storage: Storage, limits: Limits, name: str) -> Report:
    """Probes the MP3 as the worker does, with its size and range reads."""
    size = (storage.folder / name).stat().st_size

    async def run_probe() -> Report:
        async with http_pool() as pool:
            url = storage.url(name)
            read = partial(read_range, pool.downloads, url)
            return await probe(url, ffprobe=ffprobe, limits=limits, declared="audio/mpeg", size=size, read_range=read)

    return asyncio.run(run_probe())


@pytest.mark.parametrize(
    "name", ["constant.mp3", "cover.mp3", "variable.mp3", "constant-no-xing.mp3", "variable-no-xing.mp3"]
)
def test_reports_the_duration_of_a_large_mp3(
    name: str, ffprobe: Ffprobe, storage: Storage, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mp3, "LARGE", 1)
    make(name, storage.folder)

    report = _probe_as_large(ffprobe, storage, limits, name)

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(SECONDS, abs=SAMPLES[name].frame)


@pytest.mark.parametrize("factor", [0.5, 0.97, 1.03, 2, 40])
@pytest.mark.parametrize("name", ["constant.mp3", "variable.mp3"])
def test_checks_the_frame_count_of_a_large_mp3(
    name: str,
    factor: float,
    *,
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mp3, "LARGE", 1)
    content = forge_frame_count(make(name, storage.folder).read_bytes(), factor, valid_checksum=False)
    (storage.folder / "forged.mp3").write_bytes(content)

    report = _probe_as_large(ffprobe, storage, limits, "forged.mp3")

    if factor > 1:
        assert report == ReadFailure("truncated")
    else:
        assert isinstance(report, Media)
        assert float(report.duration or 0) == pytest.approx(SECONDS, abs=2 * SAMPLES[name].frame)


@pytest.mark.parametrize(
    "arguments", [("-b:a", "320k"), ("-b:a", "320k", *NO_TAGS), ("-ac", "2", "-q:a", "0")], ids=" ".join
)
def test_reads_little_of_a_large_mp3(
    arguments: tuple[str, ...],
    encode_mp3: Callable[..., bytes],
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
) -> None:
    data = encode_mp3(300, *arguments)
    assert len(data) >= mp3.LARGE
    (storage.folder / "long.mp3").write_bytes(data)

    report = _probe_as_large(ffprobe, storage, limits, "long.mp3")

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(300, abs=3 * MP3_FRAME)
    assert storage.sent < len(data) / 4


def test_counts_audio_spliced_into_a_large_mp3(
    encode_mp3: Callable[..., bytes], ffprobe: Ffprobe, storage: Storage, limits: Limits
) -> None:
    around = encode_mp3(240, "-b:a", "320k", *NO_TAGS)
    advert = encode_mp3(15, "-b:a", "64k", *NO_TAGS)
    half = len(around) // 2
    (storage.folder / "podcast.mp3").write_bytes(around[:half] + advert + around[half:])

    report = _probe_as_large(ffprobe, storage, limits, "podcast.mp3")

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(255, abs=4 * MP3_FRAME)


def test_reads_a_small_mp3_without_sampling(ffprobe: Ffprobe, storage: Storage, limits: Limits) -> None:
    size = make("constant.mp3", storage.folder).stat().st_size
    offsets: list[int] = []

    async def read_range(offset: int, length: int) -> bytes:
        offsets.append(offset)
        return bytes(length)

    url = storage.url("constant.mp3")
    report = asyncio.run(
        probe(url, ffprobe=ffprobe, limits=limits, declared="audio/mpeg", size=size, read_range=read_range)
    )

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(SECONDS, abs=SAMPLES["constant.mp3"].frame)
    assert not offsets


def test_reads_the_whole_mp3_when_sampling_times_out(
    encode_mp3: Callable[..., bytes],
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def hang(_read_range: mp3.ReadRange, _size: int) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("assetdock_server.media.ffprobe.SAMPLING_SECONDS", 0.1)
    monkeypatch.setattr(mp3, "seconds", hang)
    (storage.folder / "slow.mp3").write_bytes(encode_mp3(240, "-b:a", "320k", *NO_TAGS))

    report = _probe_as_large(ffprobe, storage, limits, "slow.mp3")

    assert isinstance(report, Media)
    assert float(report.duration or 0) == pytest.approx(240, abs=3 * MP3_FRAME)


@pytest.mark.parametrize(("failures", "is_read"), [(1, True), (2, False)])
def test_retries_a_failed_range_read_once(
    failures: int,
    *,
    is_read: bool,
    encode_mp3: Callable[..., bytes],
    ffprobe: Ffprobe,
    storage: Storage,
    limits: Limits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of hundreds of reads may fail. A repeated failure is a failure of Storage and says nothing about the file."""
    monkeypatch.setattr("assetdock_server.media.ffprobe.RETRY_SECONDS", 0.0)
    data = encode_mp3(240, "-b:a", "320k", *NO_TAGS)
    (storage.folder / "unreliable.mp3").write_bytes(data)
    offsets: list[int] = []

    async def read_range(offset: int, length: int) -> bytes:
        offsets.append(offset)
        if offset > len(data) // 2 and offsets.count(offset) <= failures:
            raise TransientError("Storage responded with HTTP 503")
        return data[offset : offset + length]

    async def run_probe() -> Report:
        url, size = storage.url("unreliable.mp3"), len(data)
        return await probe(url, ffprobe=ffprobe, limits=limits, declared="audio/mpeg", size=size, read_range=read_range)

    if is_read:
        report = asyncio.run(run_probe())
        assert isinstance(report, Media)
        assert float(report.duration or 0) == pytest.approx(240, abs=3 * MP3_FRAME)
        assert storage.sent < len(data) / 2
    else:
        with pytest.raises(TransientError, match="503"):
            asyncio.run(run_probe())
