"""The duration of a large MP3 from a sample of its frames."""

import asyncio
import json
import random
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assetdock_server.media.mp3 import duration as mp3
from assetdock_server.media.mp3.frames import Frame, chain
from assetdock_server.media.report import TransientError
from tests.media import MP3_FRAME
from tests.worker.mp3s import NO_TAGS, VARIABLE, forge_frame_count


@dataclass
class RecordingFile:
    """A file in memory that records the ranges that were read, as (offset, length)."""

    data: bytes
    reads: list[tuple[int, int]] = field(default_factory=list)

    async def read_range(self, offset: int, length: int) -> bytes:
        assert offset >= 0, offset
        assert length > 0, length
        assert offset + length <= len(self.data), "beyond the end"
        self.reads.append((offset, length))
        return self.data[offset : offset + length]

    def seconds(self) -> float | None:
        duration = asyncio.run(mp3.seconds(self.read_range, len(self.data)))
        return None if duration is None else float(duration)


def _full_duration(data: bytes, folder: Path) -> float:
    """The duration in seconds that ffprobe measures by reading the whole file."""
    path = folder / "whole.mp3"
    path.write_bytes(data)
    command = ["ffprobe", "-v", "error", "-show_entries", "packet=duration_time", "-of", "json", str(path)]
    packets = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=240).stdout)["packets"]
    return sum(float(packet["duration_time"]) for packet in packets)


def _approximately(seconds: float) -> object:
    return pytest.approx(seconds, abs=2 * MP3_FRAME)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-b:a", "128k"),
        ("-b:a", "128k", *NO_TAGS),
        ("-b:a", "320k", "-ar", "48000", "-ac", "2", *NO_TAGS),
        ("-b:a", "64k", "-ar", "22050", *NO_TAGS),
        ("-b:a", "24k", "-ar", "11025", *NO_TAGS),
        ("-b:a", "128k", "-write_xing", "0", "-write_id3v1", "1", "-metadata", "title=Noise"),
        VARIABLE,
        ("-ac", "2", "-abr", "1", "-b:a", "160k"),
        ("-ac", "2", "-q:a", "5", "-ar", "32000"),
    ],
    ids=" ".join,
)
def test_a_sample_of_frames_gives_the_full_duration(
    arguments: tuple[str, ...], encode_mp3: Callable[..., bytes], tmp_path: Path
) -> None:
    data = encode_mp3(60, *arguments)

    duration = RecordingFile(data).seconds()

    assert duration == _approximately(_full_duration(data, tmp_path))


@pytest.mark.parametrize(("kbits", "hertz", "lowest"), [("320k", "44100", 32_000), ("64k", "22050", 8_000)])
def test_samples_are_close_enough_to_find_the_shortest_detectable_part(
    kbits: str, hertz: str, lowest: int, encode_mp3: Callable[..., bytes]
) -> None:
    data = encode_mp3(60, "-b:a", kbits, "-ar", hertz, *NO_TAGS)
    file = RecordingFile(data)

    assert file.seconds() is not None

    offsets = [0, *sorted(offset for offset, _ in file.reads), len(data)]
    assert max(later - earlier for earlier, later in pairwise(offsets)) <= mp3.MAX_GAP_SECONDS * lowest / 8 + 1500
    assert sum(length for _, length in file.reads[2:]) < 0.001 * len(data)


# At 48 kHz, frames of half or twice the bit rate end at the same offsets.
@pytest.mark.parametrize(("kbits", "seconds"), [(32, 17), (64, 9), (96, 9), (256, 9)])
@pytest.mark.parametrize("hertz", ["48000", "44100"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.77])
def test_finds_a_part_of_another_bit_rate(
    kbits: int, seconds: int, hertz: str, share: float, encode_mp3: Callable[..., bytes]
) -> None:
    around = encode_mp3(60, "-b:a", "128k", "-ar", hertz, *NO_TAGS)
    part = encode_mp3(seconds, "-b:a", f"{kbits}k", "-ar", hertz, *NO_TAGS)
    frame = 384  # bytes, at 128 kbit/s and 48 kHz
    at = int(share * len(around) / frame) * frame
    assert RecordingFile(around).seconds() is not None

    assert RecordingFile(around[:at] + part[: len(part) // frame * frame] + around[at:]).seconds() is None


@pytest.mark.parametrize("arguments", [("-b:a", "128k", *NO_TAGS), VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2] + data[len(data) // 2 + 1 :],
        lambda data: data[: len(data) // 2] + b"\0" + data[len(data) // 2 :],
        lambda data: data[: len(data) // 4] + data[len(data) // 2 + 7 :],
        lambda data: data[: len(data) // 3] + bytes(len(data) // 5) + data[len(data) // 3 + len(data) // 5 :],
        lambda data: data + bytes(5000),
        lambda data: data + data[len(data) // 2 :],
    ],
    ids=["lost byte", "extra byte", "lost part", "zeroed part", "zeros at the end", "repeated part"],
)
def test_does_not_accept_a_damaged_file_as_whole(
    damage: Callable[[bytes], bytes], arguments: tuple[str, ...], encode_mp3: Callable[..., bytes], tmp_path: Path
) -> None:
    data = encode_mp3(60, *arguments)
    damaged = damage(data)
    assert RecordingFile(data).seconds() is not None

    duration = RecordingFile(damaged).seconds()

    # At a constant bit rate, frames that are still on the grid may be counted.
    assert duration is None or (
        arguments is not VARIABLE and duration == _approximately(_full_duration(damaged, tmp_path))
    )


def test_a_variable_bit_rate_without_a_frame_count_must_be_read(encode_mp3: Callable[..., bytes]) -> None:
    file = RecordingFile(encode_mp3(60, "-q:a", "4", *NO_TAGS))

    assert file.seconds() is None

    assert len(file.reads) == 2


@pytest.mark.parametrize("arguments", [("-b:a", "128k"), VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize(
    ("factor", "valid_checksum"),
    [(0.5, False), (0.97, False), (1.03, False), (2, False), (0.5, True), (2, True), (40, True)],
)
def test_rejects_a_forged_frame_count(
    factor: float, valid_checksum: bool, arguments: tuple[str, ...], encode_mp3: Callable[..., bytes]
) -> None:
    data = encode_mp3(60, *arguments)
    correct = forge_frame_count(data, 1, valid_checksum=True)
    forged = forge_frame_count(data, factor, valid_checksum=valid_checksum)
    assert RecordingFile(correct).seconds() == RecordingFile(data).seconds() is not None

    assert RecordingFile(forged).seconds() is None


def test_ignores_a_header_without_a_frame_count(encode_mp3: Callable[..., bytes]) -> None:
    """The bytes at the offset of the count then have another meaning."""
    data = encode_mp3(60, "-b:a", "128k")
    flags = data.find(b"Info") + 4

    without_count = data[:flags] + bytes([0] * 7 + [1]) + data[flags + 8 :]

    assert RecordingFile(without_count).seconds() == RecordingFile(data).seconds() is not None


def test_ignores_the_checksum_of_a_tag_without_all_fields(encode_mp3: Callable[..., bytes]) -> None:
    data = bytearray(encode_mp3(60, *VARIABLE))
    data[data.find(b"Xing") + 7] = 0b111  # the flag of the quality field is off

    assert RecordingFile(forge_frame_count(bytes(data), 1, valid_checksum=True)).seconds() is None


def test_skips_tags_before_the_audio(encode_mp3: Callable[..., bytes]) -> None:
    """Pictures make tags long, and a file may have several tags. A footer adds ten bytes to the size in the header."""
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)
    long = b"ID3\3\0\0" + bytes([0, 6, 26, 0x20]) + bytes((6 << 14) + (26 << 7) + 0x20)
    footed = b"ID3\4\0\x10" + bytes([0, 0, 1, 2]) + bytes(130) + b"3DI\4\0\x10" + bytes([0, 0, 1, 2])
    tagged = RecordingFile(long + footed + data)

    assert tagged.seconds() == RecordingFile(data).seconds() is not None

    assert len([offset for offset, _ in tagged.reads if offset < len(long) + len(footed)]) == 2


def test_counts_frames_of_an_encoder_that_never_pads(encode_mp3: Callable[..., bytes]) -> None:
    """Some old encoders never pad: every frame has the smaller size, and the bit rate is slightly lower."""
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)
    frames = [(offset, frame.size, frame.padded) for offset, frame in chain(data, 0)]
    assert any(padded for _, _, padded in frames)
    unpadded = bytearray()
    for offset, size, padded in frames:
        frame = bytearray(data[offset : offset + size - padded])
        frame[2] &= ~2
        unpadded += frame

    assert RecordingFile(bytes(unpadded)).seconds() == RecordingFile(data).seconds() == len(frames) * MP3_FRAME


def test_checks_frames_between_both_ends(encode_mp3: Callable[..., bytes]) -> None:
    """At 48 kHz a frame of 320 kbit/s has the size of ten frames of 32 kbit/s, the bit rate at both ends."""
    slow = encode_mp3(17, "-b:a", "32k", "-ar", "48000", *NO_TAGS)
    fast = encode_mp3(60, "-b:a", "320k", "-ar", "48000", "-ac", "2", *NO_TAGS)
    audio = slow[: 96 * 100] + fast[: len(fast) // 960 * 960] + slow[: 96 * 100]
    tag = b"Info" + bytes([0, 0, 0, 1]) + (len(audio) // 96).to_bytes(4, "big")
    data = slow[:21] + tag + bytes(96 - 21 - len(tag)) + audio

    assert RecordingFile(data).seconds() is None


@pytest.mark.parametrize("distance", [8_000, 11_000, 14_000, 20_000])
def test_finds_foreign_bytes_after_the_last_sample(distance: int, encode_mp3: Callable[..., bytes]) -> None:
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)
    # Without the last 100 bytes, because the whole part has the size of several frames of 128 kbit/s.
    part = encode_mp3(1, "-b:a", "80k", *NO_TAGS)[:-100]

    assert RecordingFile(data[:-distance] + part + data[-distance:]).seconds() is None


@pytest.mark.parametrize("lost", [4, 1000])
def test_rejects_a_header_that_counts_lost_frames(lost: int, encode_mp3: Callable[..., bytes]) -> None:
    """The padding of this file has the size of about four frames, so the loss of four leaves a plausible size."""
    data = encode_mp3(60, "-b:a", "128k")
    sizes = [(offset, frame.size) for offset, frame in chain(data, data.find(b"Info") - 21)]
    begin, end = sizes[700][0], sizes[700 + lost][0]

    assert RecordingFile(data[:begin] + data[end:]).seconds() is None


def test_a_matching_header_needs_fewer_samples(encode_mp3: Callable[..., bytes]) -> None:
    with_header = RecordingFile(encode_mp3(240, "-b:a", "320k"))
    without_header = RecordingFile(encode_mp3(240, "-b:a", "320k", *NO_TAGS))

    assert with_header.seconds() == without_header.seconds() is not None

    assert len(with_header.reads) <= mp3.TAG_SAMPLES + 5
    assert len(without_header.reads) > 100


def test_leaves_a_file_with_too_many_tags_to_ffprobe(encode_mp3: Callable[..., bytes]) -> None:
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)
    empty, long = b"ID3\4\0\0\0\0\0\0", b"ID3\4\0\0\x7f\x7f\x7f\x7f"

    assert RecordingFile((mp3.MAX_TAGS - 1) * empty + data).seconds() == RecordingFile(data).seconds() is not None
    for tags in (mp3.MAX_TAGS * empty, (mp3.MAX_TAGS - 1) * empty + long, long):
        assert RecordingFile(tags + data).seconds() is None


def test_reads_the_frame_count_of_a_vbri_header(encode_mp3: Callable[..., bytes]) -> None:
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)
    first = Frame.at(data, 0)
    assert first is not None
    count = round(len(data) / first.length)

    def with_vbri(claimed: int) -> RecordingFile:
        vbri = b"VBRI\0\1\0\0\0\0" + len(data).to_bytes(4, "big") + claimed.to_bytes(4, "big")
        return RecordingFile(data[:36] + vbri + bytes(first.size - 36 - len(vbri)) + data)

    assert with_vbri(count).seconds() == RecordingFile(data).seconds() is not None
    assert with_vbri(count // 2).seconds() is None


def test_a_file_that_needs_too_many_samples_is_read(
    encode_mp3: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RecordingFile(encode_mp3(60, "-b:a", "128k", *NO_TAGS))
    monkeypatch.setattr(mp3, "MAX_SAMPLES", 3)

    assert file.seconds() is None

    assert len(file.reads) == 2


@given(st.binary(max_size=12_000), st.integers(0, 2**32))
def test_never_reads_beyond_the_end_of_random_bytes(noise: bytes, seed: int) -> None:
    """Random bytes are mixed with a valid tag and valid frames."""
    generator = random.Random(seed)  # noqa: S311
    tag = b"ID3\4\0" + bytes([generator.choice([0, 0x10])]) + bytes(generator.randrange(128) for _ in range(4))
    frame = bytes([0xFF, 0xFB, 0x90, 0xC4]) + bytes(413)

    for data in (
        noise,
        tag + noise,
        frame * 20 + noise,
        tag + frame * 20,
        frame + noise + frame * 9,
        noise + frame * 9,
    ):
        for whole in (data, bytes(10) + data + bytes(100), (tag[:6] + bytes(4)) * generator.randrange(12) + data):
            duration = RecordingFile(whole).seconds()
            assert duration is None or duration > 0


def _frame(bit_rate_index: int) -> bytes:
    """A frame without sound, with the bit rate at this index of the standard's table (9: 128 kbit/s)."""
    header = bytes([0xFF, 0xFB, bit_rate_index << 4, 0xC4])
    frame = Frame.at(header, 0)
    assert frame is not None
    return header + bytes(frame.size - len(header))


def _tagged(bit_rate_indices: Sequence[int]) -> bytearray:
    """Frames with these bit rates after a Xing header with their count."""
    frames = bytearray(_frame(9) + b"".join(map(_frame, bit_rate_indices)))
    fields = 0x0F, len(bit_rate_indices), len(frames)
    frames[21:37] = b"Xing" + b"".join(number.to_bytes(4, "big") for number in fields)
    return bytearray(forge_frame_count(bytes(frames), 1, valid_checksum=True))


def test_accepts_a_correct_count_when_most_bytes_are_in_large_frames() -> None:
    """Half a minute of 320 kbit/s and half a minute of 32 kbit/s: the first half has nine of ten bytes."""
    assert RecordingFile(bytes(_tagged([14] * 1150 + [1] * 1150))).seconds() == pytest.approx(2300 * MP3_FRAME)


def test_counts_a_file_shorter_than_the_tail_that_is_read(encode_mp3: Callable[..., bytes]) -> None:
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)[:5000]

    assert RecordingFile(data).seconds() == pytest.approx(11 * MP3_FRAME)


def test_a_file_with_less_audio_than_one_sample_is_read() -> None:
    """Tags can make a file large that has little audio."""
    data = _tagged([1, 2] * 18)

    assert RecordingFile(bytes(data)).seconds() is None


@given(st.lists(st.integers(1, 14), min_size=20, max_size=60), st.binary(max_size=5000), st.floats(0, 1))
def test_never_reads_beyond_the_end_of_counted_frames(bit_rate_indices: list[int], noise: bytes, share: float) -> None:
    frames = _tagged(bit_rate_indices)
    seconds = len(bit_rate_indices) * MP3_FRAME
    assert RecordingFile(bytes(frames)).seconds() in (None, pytest.approx(seconds))

    begin = 417 + int(share * (len(frames) - 417))
    end = min(len(frames), begin + len(noise))
    frames[begin:end] = noise[: end - begin]

    # A tag is valid only before a frame. Without that frame, the count begins at the next two consecutive frames.
    duration = RecordingFile(bytes(frames)).seconds()
    assert duration is None or 0 < duration < seconds + MP3_FRAME / 2


def test_raises_the_errors_of_read_range(encode_mp3: Callable[..., bytes]) -> None:
    data = encode_mp3(60, "-b:a", "128k", *NO_TAGS)

    def failing(after: int) -> Callable[[int, int], Awaitable[bytes]]:
        file = RecordingFile(data)

        async def read_range(offset: int, length: int) -> bytes:
            if len(file.reads) >= after:
                raise TransientError("Storage is down")
            return await file.read_range(offset, length)

        return read_range

    for after in (0, 1, 2, 7):
        with pytest.raises(TransientError, match="down"):
            asyncio.run(mp3.seconds(failing(after), len(data)))
