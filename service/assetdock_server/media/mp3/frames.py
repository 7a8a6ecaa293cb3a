"""The frames of an MP3, and what stands in the first one instead of sound.

Of a frame: ISO/IEC 11172-3, 2.4.1.3 and 2.4.2.3, and 13818-3 for the lower sampling rates. Xing's header, LAME's tag
behind it and Fraunhofer's VBRI have no standard; http://gabriel.mp3-tech.org/mp3infotag.html describes the first two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

HEADER = 4  # bytes
LARGEST = 1441  # bytes: 320 kbit/s at 32 kHz, padded
_MPEG_1 = 3  # of the two bits that name the version; 2 is MPEG 2, 0 is "2.5"
_KBITS_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_KBITS_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_HERTZ = {_MPEG_1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
_MONO = 3

# Bytes from the name of Xing's header.
_FRAMES, _BYTES, _LAME_CRC = 8, 12, 154
_EVERYTHING = 0x0F  # frames, bytes, table and quality are there: then LAME's tag has its place
_LIBAVFORMAT_CRC = 190  # bytes that it is of, its own among them and still zero
_VBRI, _VBRI_FRAMES = 36, 14


@dataclass(frozen=True)
class Frame:
    """The header of a frame of layer III."""

    version: int
    hertz: int  # the sampling rate
    bits: int  # a second
    padded: bool
    mono: bool

    @classmethod
    def at(cls, data: bytes, place: int) -> "Frame | None":
        """The one whose header begins there; None where none does, and for the free format, which tells no size."""
        if place + HEADER > len(data) or data[place] != 0xFF or data[place + 1] & 0xE6 != 0xE2:
            return None
        version, second, third = data[place + 1] >> 3 & 3, data[place + 2], data[place + 3]
        kbits, hertz = second >> 4, second >> 2 & 3
        if version not in _HERTZ or not 0 < kbits < len(_KBITS_1) or hertz >= len(_HERTZ[version]):
            return None
        table = _KBITS_1 if version == _MPEG_1 else _KBITS_2
        return cls(version, _HERTZ[version][hertz], table[kbits] * 1000, bool(second & 2), third >> 6 == _MONO)

    @property
    def lowest(self) -> int:
        """Bits a second: the lowest rate that a frame of this version can have."""
        return (_KBITS_1 if self.version == _MPEG_1 else _KBITS_2)[1] * 1000

    @property
    def samples(self) -> int:
        """How many it holds."""
        return 1152 if self.version == _MPEG_1 else 576

    @property
    def length(self) -> Fraction:
        """Bytes of a frame on average, in a stream of this bit rate."""
        return Fraction(self.samples // 8 * self.bits, self.hertz)

    @property
    def size(self) -> int:
        """Bytes of this one."""
        return int(self.length) + self.padded

    @property
    def head(self) -> int:
        """Bytes before the sound: the header and what tells where the sound is."""
        if self.version == _MPEG_1:
            return HEADER + (17 if self.mono else 32)
        return HEADER + (9 if self.mono else 17)

    def is_of(self, other: "Frame") -> bool:
        """Whether both can be of one stream."""
        return (self.version, self.hertz) == (other.version, other.hertz)

    def is_like(self, other: "Frame") -> bool:
        """Whether both can be of one stream of a constant bit rate."""
        return self.is_of(other) and self.bits == other.bits


@dataclass(frozen=True)
class Tag:
    """What the first frame says of all the others. None: it doesn't."""

    frames: int | None = None
    size: int | None = None  # bytes, from its own frame to the last
    intact: bool = False  # whether a checksum says so; Fraunhofer's header has none

    @classmethod
    def of(cls, data: bytes, frame: Frame) -> "Tag | None":
        """That of a frame, which begins `data`; None for one that holds sound."""
        place = frame.head
        if data[place : place + 4] in (b"Xing", b"Info"):
            flags = data[place + 7]
            frames = _number(data, place + _FRAMES) if flags & 1 else None
            if flags != _EVERYTHING:
                return cls(frames)
            return cls(frames, _number(data, place + _BYTES), _is_intact(data, place + _LAME_CRC))
        if data[_VBRI : _VBRI + 4] == b"VBRI":
            return cls(_number(data, _VBRI + _VBRI_FRAMES))
        return None


def chain(data: bytes, place: int) -> Iterator[tuple[int, Frame]]:
    """The frames of one stream that follow each other from `place` on, all of which are all there, and where each
    begins."""
    first = frame = Frame.at(data, place)
    while frame and first and frame.is_of(first) and place + frame.size <= len(data):
        yield place, frame
        place += frame.size
        frame = Frame.at(data, place)


def _is_intact(data: bytes, place: int) -> bool:
    """Whether the checksum there is that of what stands before it (LAME), or of the first bytes (libavformat)."""
    stored = int.from_bytes(data[place : place + 2], "big")
    unset = data[:place] + bytes(2) + data[place + 2 :]
    return place + 2 <= len(data) and stored in (_crc(data[:place]), _crc(unset[:_LIBAVFORMAT_CRC]))


def _crc(data: bytes) -> int:
    """CRC-16 with the polynomial 0x8005, least significant bit first, from zero."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def _number(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 4], "big")
