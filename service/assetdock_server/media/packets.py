"""Where the packets of a file begin and end, from ffprobe's lines, in constant memory."""

from collections.abc import Collection
from decimal import Decimal, InvalidOperation

import orjson

FIELDS = ("stream_index", "pts_time", "dts_time", "duration_time", "size", "pos")  # in ffprobe's own order
ENTRIES = f"packet={','.join(FIELDS)}"
FORMAT = "csv=print_section=0"
LARGEST = 10**12  # seconds: what fits no calendar is no time, and would overflow Decimal's precision later
TRAILER = 1024  # bytes that may follow the last packet: an ID3v1 tag has 128
LONGEST_LINE = 512  # six numbers; ffprobe never writes so much


def seconds(text: str | None) -> Decimal | None:
    """A number of seconds as ffprobe prints it; None for `N/A`, nothing, and whatever is no sensible
    number."""
    if not text or len(text) > 40:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < LARGEST else None


class Span:
    """Fed with ffprobe's output, knows the first start and the last end (Decimal seconds) of the streams that
    count.

    `reach` is where in the file the furthest packet of any stream ends, in bytes; 0 when that isn't told. `largest` is
    the size of the largest.
    `broke_off` is for whoever runs the pass: whether ffprobe missed bytes that the container promises.
    `first` and `end` are None until a packet of such a stream with a time was seen. What isn't a packet line
    is skipped: side data leaves blank lines behind, and a file can't be trusted to make ffprobe write only
    what it should.
    """

    def __init__(self, counted: Collection[int]) -> None:
        self._counted = {str(index) for index in counted}
        self._rest = b""
        self.first: Decimal | None = None
        self.end: Decimal | None = None
        self.reach = 0
        self.largest = 0
        self.broke_off = False

    @classmethod
    def of_report(cls, document: bytes, counted: Collection[int]) -> "Span":
        """From the packets in a report of ffprobe in JSON, asked for `ENTRIES`. Never raises: what can't be read
        holds no packets."""
        span = cls(counted)
        for packet in _listed(document):
            span._packet([str(packet.get(name, "")) for name in FIELDS])
        return span

    def feed(self, piece: bytes) -> None:
        """Takes the next bytes, wherever they were cut. Never raises."""
        *lines, rest = (self._rest + piece).split(b"\n")
        self._rest = rest[:LONGEST_LINE]
        for line in lines:
            self._packet(line.decode("ascii", "replace").split(","))

    def _packet(self, fields: list[str]) -> None:
        if len(fields) < len(FIELDS):
            return
        size, place = _bytes(fields[4]), _bytes(fields[5])
        if place:
            self.reach = max(self.reach, place + size)
            self.largest = max(self.largest, size)
        if fields[0] not in self._counted:
            return
        start = seconds(fields[1])
        if start is None:
            start = seconds(fields[2])  # MPEG programs and AVI leave some packets without a presentation time
        if start is None:
            return
        end = start + max(seconds(fields[3]) or Decimal(0), Decimal(0))
        if self.first is None or start < self.first:
            self.first = start
        if self.end is None or end > self.end:
            self.end = end


def _listed(document: bytes) -> list[dict[str, object]]:
    try:
        report = orjson.loads(document)
    except orjson.JSONDecodeError:
        return []
    listed = report.get("packets") if isinstance(report, dict) else None
    return [packet for packet in listed if isinstance(packet, dict)] if isinstance(listed, list) else []


def _bytes(text: object) -> int:
    """A place or a size as ffprobe prints it; 0 for what is none."""
    return int(text) if isinstance(text, str) and len(text) <= 16 and text.isascii() and text.isdigit() else 0
