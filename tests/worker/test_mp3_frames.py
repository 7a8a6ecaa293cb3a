"""Parsing of MP3 frames and encoder tags."""

from collections.abc import Callable

import pytest

from assetdock_server.media.mp3.frames import Frame, Tag
from tests.worker.mp3s import forge_frame_count


@pytest.mark.parametrize(
    "header",
    ["fffb00c4", "fffbf0c4", "fffb9cc4", "ffeb90c4", "fffd90c4", "ffff90c4", "fff990c4", "fe7b90c4", "fffb90"],
)
def test_rejects_invalid_frame_headers(header: str) -> None:
    """Free format; invalid bit rate, sampling rate and version; layers II, I and reserved; no sync word; three bytes.

    A frame of size zero would make the parser loop.
    """
    assert Frame.at(bytes.fromhex("fffb90c4"), 0) == Frame(3, 44100, 128_000, padded=False, mono=True)
    assert Frame.at(bytes.fromhex(header), 0) is None


# The first bytes, and the size, of two files that LAME 3.100 encoded from the same two minutes of audio.
ENCODED_BY_LAME = {
    "mono": (
        "fffb90c4000000000000000000000000000000000058696e670000000f000011f3000f9968000102030506070a0c1013171b1e2225282b2c2d"
        "2e30313235383c4043474a4d50545657585a5b5c5d6164686b6f7375797c80818283848687898d9094979a9da1a5a8abacadaeafb1b2b5b9bc"
        "bfc2c6c9cdd1d4d6d7d8d9dadcdee1e5e7ebeef2f6f9fd000000504c414d45332e31303004b9000000002e0e00001520240360410001e0000f"
        "9968c5ba3662000000",
        1_022_312,
    ),
    "stereo": (
        "fffb9064000000000000000000000000000000000000000000000000000000000000000058696e670000000f000011f3000e42db0001020405"
        "06080b0d1014171b1e2226282b2c2d2f30323335393c4044474b4d50545657595a5b5c5e6165686c6f7375797c808182848586878a8d919498"
        "9a9ea1a5a8abacaeaeb0b1b3b6b9bdbfc3c6cacdd1d4d6d7d8dadbdcdee2e5e8ebeff2f6f9fd0000003c4c414d45332e31303004af00000000"
        "2c10000035202403604d0001cc000e42dbf4448a790000000000000000",
        934_619,
    ),
}


@pytest.mark.parametrize("channels", ENCODED_BY_LAME)
def test_reads_the_tag_of_lame(channels: str) -> None:
    digits, size = ENCODED_BY_LAME[channels]
    head = bytes.fromhex(digits)
    frame = Frame.at(head, 0)

    assert frame == Frame(3, 44100, 128_000, padded=False, mono=channels == "mono")
    assert Tag.of(head, frame) == Tag(frames=4595, size=size, intact=True)
    assert Tag.of(head[:60] + b"\x77" + head[61:], frame) == Tag(frames=4595, size=size, intact=False)


def test_verifies_the_checksums_of_lame_and_libavformat(encode_mp3: Callable[..., bytes]) -> None:
    """For mono, whose tag begins earlier, the checksums differ: libavformat's also covers its own two bytes."""
    by_libavformat = encode_mp3(60, "-b:a", "192k")
    by_lame = forge_frame_count(by_libavformat, 1, valid_checksum=True)
    broken = bytearray(by_lame)
    broken[by_lame.find(b"Info") + 20] ^= 1  # in the table of contents

    assert by_lame != by_libavformat
    begin = by_lame.find(b"Info") - 21
    for data, intact in ((by_libavformat, True), (by_lame, True), (bytes(broken), False)):
        frame = Frame.at(data, begin)
        assert frame is not None
        assert frame.mono
        tag = Tag.of(data[begin : begin + 2000], frame)
        assert tag is not None
        assert tag.intact is intact
        assert tag.size == len(data) - begin
