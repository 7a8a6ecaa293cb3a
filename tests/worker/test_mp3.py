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
from tests.worker.mp3s import NO_TAGS, VARIABLE, forged


@dataclass
class Looks:
    """A file in memory, and what was looked at."""

    data: bytes
    seen: list[tuple[int, int]] = field(default_factory=list)

    async def look(self, place: int, length: int) -> bytes:
        assert place >= 0, place
        assert length > 0, length
        assert place + length <= len(self.data), "beyond its end"
        self.seen.append((place, length))
        return self.data[place : place + length]

    def seconds(self) -> float | None:
        told = asyncio.run(mp3.seconds(self.look, len(self.data)))
        return None if told is None else float(told)


def _counted(data: bytes, folder: Path) -> float:
    """What ffprobe finds by reading all of it."""
    path = folder / "counted.mp3"
    path.write_bytes(data)
    asked = ["ffprobe", "-v", "error", "-show_entries", "packet=duration_time", "-of", "json", str(path)]
    listed = json.loads(subprocess.run(asked, check=True, capture_output=True, timeout=60).stdout)["packets"]
    return sum(float(packet["duration_time"]) for packet in listed)


def _about(seconds: float) -> object:
    return pytest.approx(seconds, abs=2 * MP3_FRAME)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-b:a", "128k"),
        ("-b:a", "128k", *NO_TAGS),
        ("-b:a", "320k", "-ar", "48000", "-ac", "2", *NO_TAGS),
        ("-b:a", "64k", "-ar", "22050", *NO_TAGS),
        ("-b:a", "24k", "-ar", "11025", *NO_TAGS),
        ("-b:a", "128k", "-write_xing", "0", "-write_id3v1", "1", "-metadata", "title=Of noise"),
        VARIABLE,
        ("-ac", "2", "-abr", "1", "-b:a", "160k"),
        ("-ac", "2", "-q:a", "5", "-ar", "32000"),
    ],
    ids=" ".join,
)
def test_a_sample_of_frames_gives_the_full_duration(
    arguments: tuple[str, ...], sound: Callable[..., bytes], tmp_path: Path
) -> None:
    data = sound(60, *arguments)

    told = Looks(data).seconds()

    assert told == _about(_counted(data, tmp_path))


@pytest.mark.parametrize(("kbits", "hertz", "lowest"), [("320k", "44100", 32_000), ("64k", "22050", 8_000)])
def test_samples_are_close_enough_to_find_the_shortest_detectable_part(
    kbits: str, hertz: str, lowest: int, sound: Callable[..., bytes]
) -> None:
    """Wherever the first one falls."""
    data = sound(60, "-b:a", kbits, "-ar", hertz, *NO_TAGS)
    looks = Looks(data)

    assert looks.seconds() is not None

    places = [0, *sorted(place for place, _ in looks.seen), len(data)]
    assert max(later - earlier for earlier, later in pairwise(places)) <= mp3.MAX_GAP_SECONDS * lowest / 8 + 1500
    assert sum(length for _, length in looks.seen[2:]) < 0.001 * len(data)


# At 48 kHz the frames of half or twice the rate end in the same places.
@pytest.mark.parametrize(("kbits", "seconds"), [(32, 17), (64, 9), (96, 9), (256, 9)])
@pytest.mark.parametrize("hertz", ["48000", "44100"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.77])
def test_finds_a_part_of_another_bit_rate(
    kbits: int, seconds: int, hertz: str, share: float, sound: Callable[..., bytes]
) -> None:
    around = sound(60, "-b:a", "128k", "-ar", hertz, *NO_TAGS)
    part = sound(seconds, "-b:a", f"{kbits}k", "-ar", hertz, *NO_TAGS)
    frame = 384  # bytes at 48 kHz
    at = int(share * len(around) / frame) * frame
    assert Looks(around).seconds() is not None

    assert Looks(around[:at] + part[: len(part) // frame * frame] + around[at:]).seconds() is None


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
    ids=["a byte lost", "a byte more", "a part lost", "a part of zeros", "zeros at the end", "a part again"],
)
def test_does_not_accept_a_damaged_file_as_whole(
    damage: Callable[[bytes], bytes], arguments: tuple[str, ...], sound: Callable[..., bytes], tmp_path: Path
) -> None:
    data = sound(60, *arguments)
    damaged = damage(data)
    assert Looks(data).seconds() is not None

    told = Looks(damaged).seconds()

    # Frames of one size that still lie on their grid may be counted.
    assert told is None or (arguments is not VARIABLE and told == _about(_counted(damaged, tmp_path)))


def test_a_variable_bit_rate_without_a_frame_count_must_be_read(sound: Callable[..., bytes]) -> None:
    looks = Looks(sound(60, "-q:a", "4", *NO_TAGS))

    assert looks.seconds() is None

    assert len(looks.seen) == 2


@pytest.mark.parametrize("arguments", [("-b:a", "128k"), VARIABLE], ids=["constant", "variable"])
@pytest.mark.parametrize(
    ("times", "sealed"), [(0.5, False), (0.97, False), (1.03, False), (2, False), (0.5, True), (2, True), (40, True)]
)
def test_rejects_a_forged_frame_count(
    times: float, sealed: bool, arguments: tuple[str, ...], sound: Callable[..., bytes]
) -> None:
    data = sound(60, *arguments)
    assert Looks(forged(data, 1, sealed=True)).seconds() == Looks(data).seconds() is not None

    assert Looks(forged(data, times, sealed=sealed)).seconds() is None


def test_ignores_a_header_without_a_frame_count(sound: Callable[..., bytes]) -> None:
    """Where the count would stand, anything may."""
    data = sound(60, "-b:a", "128k")
    flags = data.find(b"Info") + 4

    assert Looks(data[:flags] + bytes([0] * 7 + [1]) + data[flags + 8 :]).seconds() == Looks(data).seconds() is not None


def test_ignores_the_checksum_of_a_tag_without_all_fields(sound: Callable[..., bytes]) -> None:
    data = bytearray(sound(60, *VARIABLE))
    data[data.find(b"Xing") + 7] = 0b111  # no quality

    assert Looks(forged(bytes(data), 1, sealed=True)).seconds() is None


def test_skips_tags_before_the_audio(sound: Callable[..., bytes]) -> None:
    """Pictures make them long, and there may be several; one with a footer is ten bytes longer than it says."""
    data = sound(60, "-b:a", "128k", *NO_TAGS)
    long = b"ID3\3\0\0" + bytes([0, 6, 26, 0x20]) + bytes((6 << 14) + (26 << 7) + 0x20)
    footed = b"ID3\4\0\x10" + bytes([0, 0, 1, 2]) + bytes(130) + b"3DI\4\0\x10" + bytes([0, 0, 1, 2])
    tagged = Looks(long + footed + data)

    assert tagged.seconds() == Looks(data).seconds() is not None

    assert len([place for place, _ in tagged.seen if place < len(long) + len(footed)]) == 2


def test_counts_frames_of_an_encoder_that_never_pads(sound: Callable[..., bytes]) -> None:
    """Old ones do: each frame is then as long as the shorter ones of others, and the bit rate a little lower."""
    data = sound(60, "-b:a", "128k", *NO_TAGS)
    frames = [(place, frame.size, frame.padded) for place, frame in chain(data, 0)]
    assert any(padded for _, _, padded in frames)
    cut = bytearray()
    for place, size, padded in frames:
        frame = bytearray(data[place : place + size - padded])
        frame[2] &= ~2
        cut += frame

    assert Looks(bytes(cut)).seconds() == Looks(data).seconds() == len(frames) * MP3_FRAME


def test_checks_frames_between_both_ends(sound: Callable[..., bytes]) -> None:
    """At 48 kHz frames of 320 kbit/s are as long as ten of 32, which stand at both ends."""
    slow = sound(17, "-b:a", "32k", "-ar", "48000", *NO_TAGS)
    fast = sound(60, "-b:a", "320k", "-ar", "48000", "-ac", "2", *NO_TAGS)
    audio = slow[: 96 * 100] + fast[: len(fast) // 960 * 960] + slow[: 96 * 100]
    tag = b"Info" + bytes([0, 0, 0, 1]) + (len(audio) // 96).to_bytes(4, "big")
    data = slow[:21] + tag + bytes(96 - 21 - len(tag)) + audio

    assert Looks(data).seconds() is None


@pytest.mark.parametrize("behind", [8_000, 11_000, 14_000, 20_000])
def test_finds_foreign_bytes_after_the_last_sample(behind: int, sound: Callable[..., bytes]) -> None:
    data = sound(60, "-b:a", "128k", *NO_TAGS)
    part = sound(1, "-b:a", "80k", *NO_TAGS)[:-100]  # all of it would take as long as whole frames of the others

    assert Looks(data[:-behind] + part + data[-behind:]).seconds() is None


@pytest.mark.parametrize("lost", [4, 1000])
def test_rejects_a_header_that_counts_lost_frames(lost: int, sound: Callable[..., bytes]) -> None:
    """Not even about as few as padding makes up for."""
    data = sound(60, "-b:a", "128k")
    sizes = [(place, frame.size) for place, frame in chain(data, data.find(b"Info") - 21)]
    begin, end = sizes[700][0], sizes[700 + lost][0]

    assert Looks(data[:begin] + data[end:]).seconds() is None


def test_a_matching_header_needs_fewer_samples(sound: Callable[..., bytes]) -> None:
    counted, uncounted = Looks(sound(240, "-b:a", "320k")), Looks(sound(240, "-b:a", "320k", *NO_TAGS))

    assert counted.seconds() == uncounted.seconds() is not None

    assert len(counted.seen) <= mp3.TAG_SAMPLES + 5
    assert len(uncounted.seen) > 100


def test_leaves_a_file_with_too_many_tags_to_ffprobe(sound: Callable[..., bytes]) -> None:
    data = sound(60, "-b:a", "128k", *NO_TAGS)
    empty, long = b"ID3\4\0\0\0\0\0\0", b"ID3\4\0\0\x7f\x7f\x7f\x7f"

    assert Looks((mp3.MAX_TAGS - 1) * empty + data).seconds() == Looks(data).seconds() is not None
    for tags in (mp3.MAX_TAGS * empty, (mp3.MAX_TAGS - 1) * empty + long, long):
        assert Looks(tags + data).seconds() is None


def test_reads_the_frame_count_of_a_vbri_header(sound: Callable[..., bytes]) -> None:
    data = sound(60, "-b:a", "128k", *NO_TAGS)
    first = Frame.at(data, 0)
    assert first is not None
    count = round(len(data) / first.length)

    def headed(claimed: int) -> Looks:
        vbri = b"VBRI\0\1\0\0\0\0" + len(data).to_bytes(4, "big") + claimed.to_bytes(4, "big")
        return Looks(data[:36] + vbri + bytes(first.size - 36 - len(vbri)) + data)

    assert headed(count).seconds() == Looks(data).seconds() is not None
    assert headed(count // 2).seconds() is None


def test_a_file_that_needs_too_many_samples_is_read(
    sound: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = Looks(sound(60, "-b:a", "128k", *NO_TAGS))
    monkeypatch.setattr(mp3, "MAX_SAMPLES", 3)

    assert looks.seconds() is None

    assert len(looks.seen) == 2


@given(st.binary(max_size=12_000), st.integers(0, 2**32))
def test_never_reads_beyond_the_end_of_random_bytes(noise: bytes, seed: int) -> None:
    """Neither do those that look like a tag or a frame."""
    chance = random.Random(seed)  # noqa: S311
    tag = b"ID3\4\0" + bytes([chance.choice([0, 0x10])]) + bytes(chance.randrange(128) for _ in range(4))
    frame = bytes([0xFF, 0xFB, 0x90, 0xC4]) + bytes(413)

    for data in (
        noise,
        tag + noise,
        frame * 20 + noise,
        tag + frame * 20,
        frame + noise + frame * 9,
        noise + frame * 9,
    ):
        for whole in (data, bytes(10) + data + bytes(100), (tag[:6] + bytes(4)) * chance.randrange(12) + data):
            told = Looks(whole).seconds()
            assert told is None or told > 0


def _of(kbits: int) -> bytes:
    """A frame of that place in the table of bit rates."""
    header = bytes([0xFF, 0xFB, kbits << 4, 0xC4])
    frame = Frame.at(header, 0)
    assert frame is not None
    return header + bytes(frame.size - len(header))


def _tagged(kbits: Sequence[int]) -> bytearray:
    """Frames of those places, behind a tag that counts them."""
    frames = bytearray(_of(9) + b"".join(map(_of, kbits)))
    frames[21:37] = b"Xing" + b"".join(number.to_bytes(4, "big") for number in (0x0F, len(kbits), len(frames)))
    return bytearray(forged(bytes(frames), 1, sealed=True))


def test_accepts_a_correct_count_when_most_bytes_are_in_large_frames() -> None:
    """Half a minute of 320 kbit/s and half a minute of 32: nine places of ten are in the first."""
    assert Looks(bytes(_tagged([14] * 1150 + [1] * 1150))).seconds() == pytest.approx(2300 * MP3_FRAME)


def test_counts_a_file_shorter_than_the_tail_that_is_read(sound: Callable[..., bytes]) -> None:
    data = sound(60, "-b:a", "128k", *NO_TAGS)[:5000]

    assert Looks(data).seconds() == pytest.approx(11 * MP3_FRAME)


def test_a_file_with_less_audio_than_one_sample_is_read() -> None:
    """A large one may be little but tags."""
    data = _tagged([1, 2] * 18)

    assert Looks(bytes(data)).seconds() is None


@given(st.lists(st.integers(1, 14), min_size=20, max_size=60), st.binary(max_size=5000), st.floats(0, 1))
def test_never_reads_beyond_the_end_of_counted_frames(kbits: list[int], noise: bytes, share: float) -> None:
    frames = _tagged(kbits)
    lasts = len(kbits) * MP3_FRAME
    assert Looks(bytes(frames)).seconds() in (None, pytest.approx(lasts))

    at = 417 + int(share * (len(frames) - 417))
    end = min(len(frames), at + len(noise))
    frames[at:end] = noise[: end - at]

    # Without the frame behind it the tag is none, and frames are counted from the next two on.
    told = Looks(bytes(frames)).seconds()
    assert told is None or 0 < told < lasts + MP3_FRAME / 2


def test_raises_the_errors_of_read_range(sound: Callable[..., bytes]) -> None:
    data = sound(60, "-b:a", "128k", *NO_TAGS)

    def failing(after: int) -> Callable[[int, int], Awaitable[bytes]]:
        looks = Looks(data)

        async def look(place: int, length: int) -> bytes:
            if len(looks.seen) >= after:
                raise TransientError("Storage is away")
            return await looks.look(place, length)

        return look

    for after in (0, 1, 2, 7):
        with pytest.raises(TransientError, match="away"):
            asyncio.run(mp3.seconds(failing(after), len(data)))
