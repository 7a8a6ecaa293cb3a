"""How long a large MP3 lasts, from a few of its frames: ffmpeg finds the end of one by reading through it.

Frames tell no time, they have to be counted. Two kinds of files can be, without reading them:
- Of a constant bit rate. All frames are of one size, so they lie on a grid between the first and the last. A frame of
  each few seconds is looked at, whether it lies where it should and is of that bit rate; fewer where a header counts as
  many.
- Of a variable one, with an encoder's count of them. Its tag has to be whole by its own checksum, to name as many
  bytes as there are, and to fit the frames that are looked at.

Neither holds for a file that lost a piece, or into which one was spliced. Decision 7 says what somebody can do who
builds a file to deceive.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from assetdock_server.media.mp3.frames import HEADER, LARGEST, Frame, Tag, chain
from assetdock_server.media.packets import TRAILER

LARGE = 4 * 1024 * 1024  # bytes from which on reading all of them costs more than looking at some
LONGEST_UNSEEN = 16  # seconds that a part of the lowest bit rate there is may last between two looks
MOST_LOOKS = 4000  # four hours of 128 kbit/s; a file that would need more is read
AT_ONCE = 8
SLIP = 2  # bytes a frame may lie off the grid: encoders pad when half a byte, or when a whole one is missing
SAMPLE = 32  # looks at what a header counts
UNLIKELY = Fraction(1, 4)  # by which a count may differ from what such a sample makes likely
HEAD = 3 * LARGEST
TAIL = TRAILER + 4 * LARGEST
MOST_TAGS = 8

Look = Callable[[int, int], Awaitable[bytes]]


@dataclass(frozen=True)
class Sound:
    """From the first frame that holds sound to the end of the last."""

    begin: int
    end: int
    first: Frame
    last: Frame
    tag: Tag
    tag_begin: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.begin


async def seconds(look: Look, size: int) -> Decimal | None:
    """How long the frames of an MP3 of `size` bytes last together; None where only reading all of them can tell.

    `look(place, length)` reads so many bytes of it. Raises what that raises.
    """
    sound = await _find(look, size)
    frames = None if sound is None else await _count(look, sound)
    return None if sound is None or frames is None else Decimal(frames * sound.first.samples) / sound.first.hertz


async def _count(look: Look, sound: Sound) -> int | None:
    counted = sound.tag.frames
    if sound.first.is_like(sound.last) and (count := await _on_a_grid(look, sound)) is not None:
        return count
    if counted and sound.tag.intact and sound.tag.size == sound.end - sound.tag_begin:
        return counted if await _fits(look, sound, counted) else None
    return None


async def _on_a_grid(look: Look, sound: Sound) -> int | None:
    """How many frames there are, if they all are of one bit rate, and no header counts others."""
    counted = sound.tag.frames
    # Some encoders never pad.
    for length in dict.fromkeys((sound.first.length, Fraction(int(sound.first.length)))):
        count = round(sound.size / length)
        if (
            abs(count * length - sound.size) <= SLIP
            and (not counted or abs(count - counted) <= 1)  # some count the header's own
            and await _lie_on(look, sound, length, count)
        ):
            return count
    return None


async def _lie_on(look: Look, sound: Sound, length: Fraction, count: int) -> bool:
    stride = int(LONGEST_UNSEEN * sound.first.lowest // 8 / length)  # frames
    if sound.tag.frames:
        stride = max(stride, count // SAMPLE)  # two agree already
    looked_at = range(random.SystemRandom().randrange(stride), count, stride)
    if len(looked_at) > MOST_LOOKS:
        return False

    async def lies(place: int) -> bool:
        data = await look(place - SLIP, HEADER + 2 * SLIP)
        found = [Frame.at(data, slip) for slip in range(2 * SLIP + 1)]
        return any(frame and frame.is_like(sound.first) for frame in found)

    # The first and the last frame were seen: what lies between them has bytes on either side.
    return await _all(lies, [sound.begin + int(number * length) for number in looked_at if 0 < number < count - 1])


async def _fits(look: Look, sound: Sound, counted: int) -> bool:
    """Whether so many frames are likely, by those that stand at places evenly spread over the bytes."""
    step = (sound.size - HEAD) // SAMPLE
    if step <= 0:
        return False
    begin = sound.begin + random.SystemRandom().randrange(step)
    sizes: list[int] = []

    async def is_of_it(place: int) -> bool:
        found = _first(await look(place, HEAD))
        if found is None or not found[1].is_of(sound.first):
            return False
        sizes.append(found[1].size)
        return True

    if not await _all(is_of_it, [begin + number * step for number in range(SAMPLE)]):
        return False
    # A place in the bytes more likely lies in a large frame, and those near it are about as large; the mean of what one
    # byte is worth is not misled by that.
    likely = sound.size * sum(Fraction(1, size) for size in sizes) / len(sizes)
    return abs(counted - likely) <= counted * UNLIKELY


async def _find(look: Look, size: int) -> Sound | None:
    """None where no frames stand at both ends."""
    begin = 0
    for _ in range(MOST_TAGS):
        if size - begin < HEAD:
            return None
        head = await look(begin, HEAD)
        if not head.startswith(b"ID3"):
            break
        begin += _id3v2_size(head)
    else:
        return None
    tail_begin = max(begin, size - TAIL)
    last = _last(await look(tail_begin, size - tail_begin))
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
    """Bytes of the tag that `head` begins with (id3.org, id3v2.4.0-structure, 3.1)."""
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _first(data: bytes) -> tuple[int, Frame] | None:
    """The first frame that another one follows, and where it begins."""
    for place in range(len(data)):
        frames = chain(data, place)
        frame, follows = next(frames, None), next(frames, None)
        if frame and follows:
            return frame
    return None


def _last(data: bytes) -> tuple[int, Frame] | None:
    """The last frame of a row that ends about where the file does: a tag may follow, or a part of another frame."""
    for place in range(len(data)):
        frames = list(chain(data, place))
        if len(frames) > 1:
            begin, frame = frames[-1]
            rest = len(data) - begin - frame.size
            cut = Frame.at(data, begin + frame.size)
            return (begin, frame) if rest <= TRAILER or (cut and cut.is_of(frame) and rest < cut.size) else None
    return None


async def _all(holds: Callable[[int], Awaitable[bool]], places: Sequence[int]) -> bool:
    """Whether it holds at all of them: a few at once, the far ones among the first, until it doesn't."""
    order = random.SystemRandom().sample(places, len(places))
    for number in range(0, len(order), AT_ONCE):
        for held in await asyncio.gather(*map(holds, order[number : number + AT_ONCE]), return_exceptions=True):
            if isinstance(held, BaseException):
                raise held
            if not held:
                return False
    return True
