"""The duration of a large MP3 from samples of its frames; ffmpeg reads the whole file to find its end.

Frames have no time stamps, so they must be counted. Two kinds of files allow that without reading all of them:
- Constant bit rate: all frames have one size, so their offsets form a grid between the first and the last. One frame
  every few seconds is sampled, to check its offset and its bit rate. If a header has the same count, fewer are enough.
- Variable bit rate with an encoder's tag: the tag's checksum must be valid, its size must match the file, and its
  frame count must fit the sampled frames.

A file that lost a part, or got one inserted, passes neither check. Decision 7 describes what a forged file can claim.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from assetdock_server.media.mp3.frames import HEADER, MAX_FRAME, Frame, Tag, chain
from assetdock_server.media.packets import TRAILER

LARGE = 4 * 1024 * 1024  # bytes; from this size on, samples cost less than reading everything
MAX_GAP_SECONDS = 16  # between two samples, at the lowest possible bit rate
MAX_SAMPLES = 4000  # four hours of 128 kbit/s; a longer file is read completely
CONCURRENCY = 8
GRID_TOLERANCE = 2  # bytes: encoders pad when half a byte or a whole byte is missing
TAG_SAMPLES = 32  # to check a count in a header
COUNT_TOLERANCE = Fraction(1, 4)  # of a count, from the estimate by those samples
HEAD = 3 * MAX_FRAME
TAIL = TRAILER + 4 * MAX_FRAME
MAX_TAGS = 8

ReadRange = Callable[[int, int], Awaitable[bytes]]


@dataclass(frozen=True)
class Sound:
    """The bytes from the first frame with sound to the end of the last."""

    begin: int
    end: int
    first: Frame
    last: Frame
    tag: Tag
    tag_begin: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.end - self.begin


async def seconds(read_range: ReadRange, size: int) -> Decimal | None:
    """The duration of all frames of an MP3 of `size` bytes; None if samples cannot determine it.

    `read_range(offset, length)` reads bytes of the file. Its errors are passed on.
    """
    sound = await _find(read_range, size)
    frames = None if sound is None else await _count(read_range, sound)
    return None if sound is None or frames is None else Decimal(frames * sound.first.samples) / sound.first.hertz


async def _count(read_range: ReadRange, sound: Sound) -> int | None:
    counted = sound.tag.frames
    if sound.first.is_like(sound.last) and (count := await _on_a_grid(read_range, sound)) is not None:
        return count
    if counted and sound.tag.intact and sound.tag.size == sound.end - sound.tag_begin:
        return counted if await _count_is_likely(read_range, sound, counted) else None
    return None


async def _on_a_grid(read_range: ReadRange, sound: Sound) -> int | None:
    """The number of frames of a file with a constant bit rate, unless a header contradicts it; else None."""
    counted = sound.tag.frames
    # Some encoders never pad.
    for length in dict.fromkeys((sound.first.length, Fraction(int(sound.first.length)))):
        count = round(sound.size / length)
        if (
            abs(count * length - sound.size) <= GRID_TOLERANCE
            and (not counted or abs(count - counted) <= 1)  # some encoders count the header's own frame
            and await _samples_fit_grid(read_range, sound, length, count)
        ):
            return count
    return None


async def _samples_fit_grid(read_range: ReadRange, sound: Sound, length: Fraction, count: int) -> bool:
    stride = int(MAX_GAP_SECONDS * sound.first.lowest // 8 / length)  # frames
    if sound.tag.frames:
        stride = max(stride, count // TAG_SAMPLES)  # two counts agree already
    sampled = range(random.SystemRandom().randrange(stride), count, stride)
    if len(sampled) > MAX_SAMPLES:
        return False

    async def is_on_grid(offset: int) -> bool:
        data = await read_range(offset - GRID_TOLERANCE, HEADER + 2 * GRID_TOLERANCE)
        found = [Frame.at(data, slip) for slip in range(2 * GRID_TOLERANCE + 1)]
        return any(frame and frame.is_like(sound.first) for frame in found)

    # The first and the last frame were read already; all others have bytes on both sides.
    return await _all(is_on_grid, [sound.begin + int(number * length) for number in sampled if 0 < number < count - 1])


async def _count_is_likely(read_range: ReadRange, sound: Sound, counted: int) -> bool:
    """Whether the count matches an estimate by frames at evenly spread offsets."""
    step = (sound.size - HEAD) // TAG_SAMPLES
    if step <= 0:
        return False
    begin = sound.begin + random.SystemRandom().randrange(step)
    sizes: list[int] = []

    async def is_same_stream(offset: int) -> bool:
        found = _first(await read_range(offset, HEAD))
        if found is None or not found[1].is_of(sound.first):
            return False
        sizes.append(found[1].size)
        return True

    if not await _all(is_same_stream, [begin + number * step for number in range(TAG_SAMPLES)]):
        return False
    # A random offset hits large frames more often. Averaging 1/size instead of size corrects that bias.
    estimate = sound.size * sum(Fraction(1, size) for size in sizes) / len(sizes)
    return abs(counted - estimate) <= counted * COUNT_TOLERANCE


async def _find(read_range: ReadRange, size: int) -> Sound | None:
    """None unless the file has frames at both ends."""
    begin = 0
    for _ in range(MAX_TAGS):
        if size - begin < HEAD:
            return None
        head = await read_range(begin, HEAD)
        if not head.startswith(b"ID3"):
            break
        begin += _id3v2_size(head)
    else:
        return None
    tail_begin = max(begin, size - TAIL)
    last = _last(await read_range(tail_begin, size - tail_begin))
    found = _first(head)
    if found is None or last is None or not found[1].is_of(last[1]):
        return None
    begin += found[0]
    first, tag, tag_begin = found[1], Tag.of(head[found[0] :], found[1]), begin
    if tag is not None:
        begin += first.size
        after = Frame.at(head, found[0] + first.size)
        if after is None:
            return None
        first = after
    end = tail_begin + last[0] + last[1].size
    return Sound(begin, end, first, last[1], tag or Tag(), tag_begin)


def _id3v2_size(head: bytes) -> int:
    """Size in bytes of the tag at the start of `head` (id3.org, id3v2.4.0-structure, section 3.1)."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _first(data: bytes) -> tuple[int, Frame] | None:
    """Offset and header of the first frame that is followed by another one."""
    for offset in range(len(data)):
        frames = chain(data, offset)
        frame, follows = next(frames, None), next(frames, None)
        if frame and follows:
            return frame
    return None


def _last(data: bytes) -> tuple[int, Frame] | None:
    """Offset and header of the last frame in the file. A tag or an incomplete frame may follow it."""
    for offset in range(len(data)):
        frames = list(chain(data, offset))
        if len(frames) > 1:
            begin, frame = frames[-1]
            rest = len(data) - begin - frame.size
            partial = Frame.at(data, begin + frame.size)
            return (
                (begin, frame)
                if rest <= TRAILER or (partial and partial.is_of(frame) and rest < partial.size)
                else None
            )
    return None


async def _all(holds: Callable[[int], Awaitable[bool]], offsets: Sequence[int]) -> bool:
    """Whether `holds` is true at all offsets. Checks a few at a time in random order and stops at the first failure."""
    order = random.SystemRandom().sample(offsets, len(offsets))
    for number in range(0, len(order), CONCURRENCY):
        for held in await asyncio.gather(*map(holds, order[number : number + CONCURRENCY]), return_exceptions=True):
            if isinstance(held, BaseException):
                raise held
            if not held:
                return False
    return True
