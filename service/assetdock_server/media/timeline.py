"""The time that a player presents of packets whose clock may start again: chained Ogg, joined transport streams."""

from dataclasses import dataclass
from decimal import Decimal

# As in ffmpeg's own command: a clock that goes back by more, or forward by more, starts a new part.
BACK = Decimal("0.1")
FORWARD = Decimal(10)
MAX_PARTS = 10_000  # a file with more is forged; they count as one


@dataclass
class Part:
    """A stretch of time without a jump of the clock."""

    first: Decimal
    end: Decimal


class Timeline:
    """Divides packets into parts, in bounded memory. Streams change to a new part one after
    the other, because their packets are interleaved."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._part_of: dict[int, int] = {}
        self._last: dict[int, Decimal] = {}
        self._end_of: dict[int, Decimal] = {}

    def add(self, stream: int, start: Decimal | None, decoded: Decimal | None, duration: Decimal) -> None:
        """Adds a packet. One without a time follows the packet before it."""
        if start is None:
            if stream not in self._end_of:
                return
            start = self._end_of[stream]
        clock = decoded if decoded is not None else start
        if not self.parts:
            self.parts.append(Part(start, start))
        newest = len(self.parts) - 1
        part = self._part_of.get(stream, newest)
        if self._jumps(stream, part, clock):
            if part == newest and len(self.parts) < MAX_PARTS:
                self.parts.append(Part(start, start))
            part = len(self.parts) - 1
        self._part_of[stream] = part
        self._last[stream] = clock
        self._end_of[stream] = start + duration
        current = self.parts[part]
        current.first = min(current.first, start)
        current.end = max(current.end, start + duration)

    def _jumps(self, stream: int, part: int, clock: Decimal) -> bool:
        last = self._last.get(stream)
        if last is None:
            return False
        return clock < last - BACK or (clock > last + FORWARD and clock > self.parts[part].end + FORWARD)

    def seconds(self, start: Decimal | None) -> Decimal | None:
        """The sum of the parts, from `start` in the first one. What precedes `start` there is the priming of the
        encoder, and every other part has as much of it. None without packets."""
        if not self.parts:
            return None
        first = self.parts[0]
        priming = max((start if start is not None else first.first) - first.first, Decimal(0))
        return sum((max(part.end - part.first - priming, Decimal(0)) for part in self.parts), Decimal(0))
