"""Parses MP3 frame headers, and the tag that an encoder may put into the first frame.

Frame headers: ISO/IEC 11172-3, sections 2.4.1.3 and 2.4.2.3, and ISO/IEC 13818-3 for the lower sampling rates. The Xing
header, the LAME tag behind it and Fraunhofer's VBRI header have no standard;
http://gabriel.mp3-tech.org/mp3infotag.html describes the first two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

HEADER = 4  # bytes
MAX_FRAME = 1441  # bytes: 320 kbit/s at 32 kHz, padded
_MPEG_1 = 3  # version bits; 2 is MPEG 2, 0 is "MPEG 2.5"
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = {_MPEG_1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MONO = 3

# Offsets in bytes from the name of the Xing header.
_FRAMES, _BYTES, _LAME_CRC = 8, 12, 154
_ALL_FIELDS = 0x0F  # frames, bytes, table and quality; only then is the LAME tag at its offset
_LIBAVFORMAT_CRC = 190  # bytes that the checksum covers; its own two bytes count as zero
_VBRI, _VBRI_FRAMES = 36, 14


@dataclass(frozen=True)
class Frame:
    """A frame header of layer III."""

    version: int
    hertz: int  # the sampling rate
    bits: int  # per second
    padded: bool
    mono: bool

    @classmethod
    def at(cls, data: bytes, offset: int) -> "Frame | None":
        """The frame at this offset; None without a header, and for the free format, which has no size."""
        if offset + HEADER > len(data) or data[offset] != 0xFF or data[offset + 1] & 0xE6 != 0xE2:
            return None
        version, second, third = data[offset + 1] >> 3 & 3, data[offset + 2], data[offset + 3]
        kbits, hertz = second >> 4, second >> 2 & 3
        if version not in _HERTZ or not 0 < kbits < len(_KBITS_1) or hertz >= len(_HERTZ[version]):
            return None
        table = _KBITS_1 if version == _MPEG_1 else _KBITS_2
        return cls(version, _HERTZ[version][hertz], table[kbits] * 1000, bool(second & 2), third >> 6 == _MONO)

    @property
    def lowest(self) -> int:
        """The lowest bit rate of this version, in bits per second."""
        return (_KBITS_1 if self.version == _MPEG_1 else _KBITS_2)[1] * 1000

    @property
    def samples(self) -> int:
        """Number of samples."""
        return 1152 if self.version == _MPEG_1 else 576

    @property
    def length(self) -> Fraction:
        """Average frame size in bytes in a stream of this bit rate."""
        return Fraction(self.samples // 8 * self.bits, self.hertz)

    @property
    def size(self) -> int:
        """Size of this frame in bytes."""
        return int(self.length) + self.padded

    @property
    def head(self) -> int:
        """Bytes before the sound: header and side information."""
        if self.version == _MPEG_1:
            return HEADER + (17 if self.mono else 32)
        return HEADER + (9 if self.mono else 17)

    def is_of(self, other: "Frame") -> bool:
        """Whether both frames can belong to one stream."""
        return (self.version, self.hertz) == (other.version, other.hertz)

    def is_like(self, other: "Frame") -> bool:
        """Whether both frames can belong to one stream of a constant bit rate."""
        return self.is_of(other) and self.bits == other.bits


@dataclass(frozen=True)
class Tag:
    """An encoder's tag in the first frame. None marks a missing value."""

    frames: int | None = None
    size: int | None = None  # bytes from its own frame to the last
    intact: bool = False  # the checksum is valid; VBRI has none

    @classmethod
    def of(cls, data: bytes, frame: Frame) -> "Tag | None":
        """The tag of the frame at the start of `data`; None if the frame holds sound."""
        offset = frame.head
        if data[offset : offset + 4] in (b"Xing", b"Info"):
            flags = data[offset + 7]
            frames = _number(data, offset + _FRAMES) if flags & 1 else None
            if flags != _ALL_FIELDS:
                return cls(frames)
            return cls(frames, _number(data, offset + _BYTES), _is_intact(data, offset + _LAME_CRC))
        if data[_VBRI : _VBRI + 4] == b"VBRI":
            return cls(_number(data, _VBRI + _VBRI_FRAMES))
        return None


def chain(data: bytes, offset: int) -> Iterator[tuple[int, Frame]]:
    """Offset and header of each complete, consecutive frame of one stream from `offset` on."""
    first = frame = Frame.at(data, offset)
    while frame and first and frame.is_of(first) and offset + frame.size <= len(data):
        yield offset, frame
        offset += frame.size
        frame = Frame.at(data, offset)


def _is_intact(data: bytes, offset: int) -> bool:
    """Whether the checksum there matches all bytes before it (LAME) or the first bytes (libavformat)."""
    stored = int.from_bytes(data[offset : offset + 2], "big")
    unset = data[:offset] + bytes(2) + data[offset + 2 :]
    return offset + 2 <= len(data) and stored in (_crc(data[:offset]), _crc(unset[:_LIBAVFORMAT_CRC]))


def _crc(data: bytes) -> int:
    """CRC-16 with polynomial 0x8005, least significant bit first, initial value 0."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def _number(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")
