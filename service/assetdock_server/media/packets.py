"""The first start and last end of a file's packets, from ffprobe's output, in constant memory."""

from collections.abc import Collection
from decimal import Decimal, InvalidOperation

import orjson

from assetdock_server.media.timeline import Timeline

FIELDS = ("stream_index", "pts_time", "dts_time", "duration_time", "size", "pos", "flags")  # in ffprobe's order
ENTRIES = f"packet={','.join(FIELDS)}"
FORMAT = "csv=print_section=0"
MAX_SECONDS = 10**12  # larger times are invalid and would exceed Decimal's precision
TRAILER = 1024  # bytes that may follow the last packet; an ID3v1 tag has 128
MAX_LINE = 512  # six numbers and the flags are shorter
HIDDEN = "D"  # the flag of a packet that an edit list hides


def seconds(text: str | None) -> Decimal | None:
    """A number of seconds as ffprobe prints it; None for `N/A`, an empty text, and invalid numbers."""
    if not text or len(text) > 40:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number) < MAX_SECONDS else None


class Span:
    """Collects the times and positions of packets.

    `first` and `end` are the first start and the last end, in seconds, of packets of the `counted` streams; None
    without such a packet. Packets that an edit list hides do not count. `present` has the indexes of the counted
    streams with packets, and `frames` the number of counted packets of each of them. `end_offset` is the file offset
    at which the last packet of any stream ends, 0 if unknown; `largest` is the size of the largest packet in bytes.
    `reports_truncation` is set by the caller: whether ffprobe reported missing bytes. Lines that are no packet are
    skipped: side data leaves blank lines, and a hostile file may
    make ffprobe print anything.
    """

    def __init__(self, counted: Collection[int]) -> None:
        self._counted = {str(index) for index in counted}
        self._rest = b""
        self.first: Decimal | None = None
        self.end: Decimal | None = None
        self.present: set[int] = set()
        self.frames: dict[int, int] = {}
        self.timeline = Timeline()
        self.end_offset = 0
        self.largest = 0
        self.reports_truncation = False

    @classmethod
    def of_report(cls, document: bytes, counted: Collection[int]) -> "Span":
        """From ffprobe's JSON report with `ENTRIES`. Never raises: an invalid report has no packets."""
        span = cls(counted)
        for packet in _packets(document):
            span._packet([str(packet.get(name, "")) for name in FIELDS])
        return span

    def feed(self, output: bytes) -> None:
        """Parses the next piece of output, which may end inside a line. Never raises."""
        *lines, rest = (self._rest + output).split(b"\n")
        self._rest = rest[:MAX_LINE]
        for line in lines:
            self._packet(line.decode("ascii", "replace").split(","))

    def _packet(self, fields: list[str]) -> None:
        if len(fields) < len(FIELDS):
            return
        size, offset = _bytes(fields[4]), _bytes(fields[5])
        if offset:
            self.end_offset = max(self.end_offset, offset + size)
            self.largest = max(self.largest, size)
        if fields[0] not in self._counted:
            return
        stream = int(fields[0])
        self.present.add(stream)
        if HIDDEN in fields[6]:
            return
        self.frames[stream] = self.frames.get(stream, 0) + 1
        shown, decoded = seconds(fields[1]), seconds(fields[2])
        # MPEG program streams and AVI have packets without a presentation time.
        start = shown if shown is not None else decoded
        duration = max(seconds(fields[3]) or Decimal(0), Decimal(0))
        self.timeline.add(stream, start, decoded, duration)
        if start is None:
            return
        if self.first is None or start < self.first:
            self.first = start
        if self.end is None or start + duration > self.end:
            self.end = start + duration


def _packets(document: bytes) -> list[dict[str, object]]:
    try:
        report = orjson.loads(document)
    except orjson.JSONDecodeError:
        return []
    entries = report.get("packets") if isinstance(report, dict) else None
    return [packet for packet in entries if isinstance(packet, dict)] if isinstance(entries, list) else []


def _bytes(text: object) -> int:
    """An offset or a size as ffprobe prints it; 0 if invalid."""
    return int(text) if isinstance(text, str) and len(text) <= 16 and text.isascii() and text.isdigit() else 0
