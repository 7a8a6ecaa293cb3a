"""Detection of truncated WAV and Ogg files."""

import asyncio
import struct
from pathlib import Path

import pytest

from assetdock_server.gateways.pool import http_pool
from assetdock_server.media import truncation
from assetdock_server.media.report import Media, TransientError
from assetdock_server.media.truncation import OGG_PAGE, is_truncated, ogg_is_truncated, wav_is_truncated
from tests.media import make, silence
from tests.worker.storage import Storage


@pytest.fixture
def wav(tmp_path: Path) -> bytes:
    return silence(tmp_path / "plain.wav", seconds=2).read_bytes()


@pytest.fixture
def ogg(media: Path) -> bytes:
    return make("sound.ogg", media).read_bytes()


def _with_64_bit_size(wav: bytes, form: bytes, size: int) -> bytes:
    """Converts a WAV to RF64 or BW64, with `size` in its ds64 chunk."""
    head, sound = wav[12:36], wav[44:]
    ds64 = b"ds64" + struct.pack("<Iqqqi", 28, len(wav), size, 0, 0)
    return form + b"\xff" * 4 + b"WAVE" + ds64 + head + b"data" + b"\xff" * 4 + sound


def test_detects_a_truncated_wav(wav: bytes) -> None:
    assert not wav_is_truncated(wav[:100], len(wav))
    assert wav_is_truncated(wav[:100], len(wav) * 2 // 3)
    assert not wav_is_truncated(wav[:100], len(wav) + 3_000_000), "metadata may follow the sound"


@pytest.mark.parametrize("size", [0, 0x7F000000, 0x7FFFF000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_ignores_a_placeholder_size(wav: bytes, size: int) -> None:
    piped = wav[:40] + size.to_bytes(4, "little") + wav[44:]

    assert not wav_is_truncated(piped, len(piped))


def test_accepts_a_size_that_includes_the_header(wav: bytes) -> None:
    assert not wav_is_truncated(wav[:40] + len(wav).to_bytes(4, "little"), len(wav))


@pytest.mark.parametrize("form", [b"RF64", b"BW64"])
def test_uses_the_64_bit_size_of_a_long_wav(wav: bytes, form: bytes) -> None:
    whole = _with_64_bit_size(wav, form, len(wav) - 44)

    assert not wav_is_truncated(whole, len(whole))
    assert wav_is_truncated(whole, len(whole) - 5_000)
    assert not wav_is_truncated(_with_64_bit_size(wav, form, -1), len(whole)), "the size is unknown"
    assert not wav_is_truncated(_with_64_bit_size(wav, form, 0), len(whole)), "the size is unknown"


def test_ignores_audio_after_a_long_list_chunk(wav: bytes) -> None:
    list_chunk = b"LIST" + (70_000).to_bytes(4, "little") + bytes(70_000)

    assert not wav_is_truncated((wav[:12] + list_chunk + wav[12:])[: 64 * 1024], 71_000)


@pytest.mark.parametrize("head", [b"", b"RIFF", b"RIFF\0\0\0\0WAVEdata", b"\0" * 500, b"\xff" * 500])
def test_ignores_bytes_that_are_not_wav(head: bytes) -> None:
    assert not wav_is_truncated(head, len(head))


def test_an_ogg_may_end_after_a_page_but_not_inside_one(ogg: bytes) -> None:
    page_starts = [offset for offset in range(1, len(ogg)) if ogg.startswith(b"OggS\0", offset)]
    assert len(page_starts) > 5

    assert not ogg_is_truncated(ogg[-OGG_PAGE:])
    for start in page_starts:
        assert not ogg_is_truncated(ogg[:start][-OGG_PAGE:])
        for extra in (1, 2, 20, 26, 30, 100):
            assert ogg_is_truncated(ogg[: start + extra][-OGG_PAGE:]), (start, extra)
    for share in range(2, 100):
        size = len(ogg) * share // 100
        assert ogg_is_truncated(ogg[:size][-OGG_PAGE:]) is (size not in page_starts)


@pytest.mark.parametrize("suffix", [b"TAG" + bytes(125), b"\0", b"OggX", b"OggS\1" + bytes(100)])
def test_ignores_bytes_after_the_last_page(ogg: bytes, suffix: bytes) -> None:
    assert not ogg_is_truncated((ogg + suffix)[-OGG_PAGE:])


def test_starts_at_the_first_whole_page_of_a_tail(ogg: bytes) -> None:
    assert not ogg_is_truncated(ogg[100:])
    assert ogg_is_truncated(ogg[100:-100])


@pytest.mark.parametrize("tail", [b"", b"OggS", b"\0" * 1000, b"OggS\0"])
def test_accepts_any_tail(tail: bytes) -> None:
    assert ogg_is_truncated(tail) is (tail == b"OggS\0")


def test_reads_a_malicious_tail_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new walk from each of its thousands of empty pages would take quadratic time."""
    offsets: list[int] = []
    end_of_pages = truncation._end_of_pages

    def recording_end_of_pages(tail: bytes, offset: int) -> int | None:
        offsets.append(offset)
        return end_of_pages(tail, offset)

    monkeypatch.setattr(truncation, "_end_of_pages", recording_end_of_pages)
    pages = (OGG_PAGE // 27) * (b"OggS\0" + bytes(22))

    assert not ogg_is_truncated(pages + b"\1")

    assert offsets == [0]


def _is_truncated(storage: Storage, name: str, container: str, size: int) -> bool:
    async def check() -> bool:
        async with http_pool() as pool:
            return await is_truncated(pool.downloads, storage.url(name), Media(container, (), size))

    return asyncio.run(check())


@pytest.mark.parametrize("name", ["sound.wav", "sound.ogg"])
def test_reads_little_of_the_file(storage: Storage, name: str) -> None:
    size, container = make(name, storage.folder).stat().st_size, name.rpartition(".")[2]

    assert not _is_truncated(storage, name, container, size)
    assert [path.rpartition("/")[2].partition("?")[0] for path, _ in storage.requests] == [name]

    assert not _is_truncated(storage, name, "mp4", size)
    assert len(storage.requests) == 1, "ffprobe checks other containers"


def test_a_storage_error_is_transient(storage: Storage) -> None:
    size = make("sound.ogg", storage.folder).stat().st_size
    storage.statuses["sound.ogg"] = [503]

    with pytest.raises(TransientError):
        _is_truncated(storage, "sound.ogg", "ogg", size)

    del storage.statuses["sound.ogg"]
    storage.faults["sound.ogg"] = {2: "truncate"}
    with pytest.raises(TransientError):
        _is_truncated(storage, "sound.ogg", "ogg", size)
