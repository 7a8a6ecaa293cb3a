"""Reads the truth about a file off its bytes: what it holds, and how long it really lasts.

The duration that a header claims is checked against the last packets, at the price of one or two range requests: a
recording cut short keeps the header of the whole one. Where there is no claim, or only ffprobe's guess from a bit
rate, or the check fails, all packets are measured; those of a large MP3 by a few of them, where that does (`mp3.py`).

Starting an ffprobe costs more than what it does for most files, so one pass asks for both, header and last packets:
those that it finds when it seeks to a time no file reaches. Where that goes wrong in any way, passes of their own do
the same more carefully.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal

from assetdock_server.media import diagnosis, header, packets
from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.content_types import is_one_of
from assetdock_server.media.header import Header
from assetdock_server.media.mp3 import duration as mp3
from assetdock_server.media.report import Media, Report, TransientError, Unread
from assetdock_server.media.sandbox.run import Limits, ProcessResult, run
from assetdock_server.media.truncation import MADE_UP

# Containers that carry their own bytes. Not here: hls, dash, concat, image2, sdp, rtsp and all else that
# opens what the file names; playlists; raw elementary streams and game formats, whose hundreds of demuxers
# are attack surface that nobody misses.
FORMATS = ",".join(
    (
        *("mov", "matroska", "mp3", "wav", "w64", "aiff", "caf", "au", "flac", "ogg", "aac", "ac3", "eac3"),
        *("dts", "dtshd", "amr", "amrnb", "amrwb", "mpegts", "mpeg", "avi", "asf", "flv", "srt"),
    )
)
LOOKING_SECONDS = 60.0  # at an MP3; reading it takes less than looking for longer
ASK_AGAIN_SECONDS = 1.0  # among hundreds of requests one may fail
GLANCE_SECONDS = 20.0  # where there is no index, seeking to the end reads everything
BEYOND = "100000000%"  # seconds, three years
TAIL = Decimal(5)  # seconds before the claimed end from which packets are read to check it
CLOSE = Decimal("0.25")  # seconds a claim may differ from the last packet: a few frames of low-rate video
# An MP3 seeks by a table of 100 places rounded to 1/256 of the file: packets near its end are off by that
# share of it.
CLOSE_IN_MP3 = Decimal("0.015")
# Here ffprobe itself works the duration out from the time stamps at the end of the file.
MEASURED_FROM_END = {"mpegts", "mpeg", "ogg"}
# Here ffprobe finds the end by reading every packet, or by the numbers of the frames there: it is as good as measured.
COUNTED_TO_END = {"mp3", "aac", "ac3", "matroska", "webm", "flac"}
NEAR = 64 * 1024  # bytes, beside those of a packet that isn't all there, from the last whole one to a cut
FROM_ZERO = {"aac", "ac3"}  # frames without time stamps: ffprobe counts them, and names no start
MISSING = Unread("missing")
NOT_AGAIN = "ffprobe couldn't open again what it had opened before"
# Here the claim is the number of samples or frames in this one stream: a file with fewer lost its end on the way.
# Others may claim as much as a longer text track lasts, and it takes the demuxer's word as well that bytes are missing.
COUNTS_ITS_SAMPLES = {"flac", "mp3", "aiff"}
LISTS_ITS_SAMPLES = {"mp4", "mov", "3gp"}
SIZES_ITS_ELEMENTS = {"matroska", "webm"}
ESTIMATED = b"Estimating duration from bitrate"


async def probe(
    url: str,
    *,
    ffprobe: Ffprobe,
    limits: Limits,
    declared: str | None = None,
    size: int | None = None,
    look: mp3.Look | None = None,
) -> Report:
    """What the file behind a signed URL is, read by range requests. Which are made first depends on its `declared`
    content type and its `size` in bytes, what is found doesn't. `look(place, length)` reads a few bytes of it: with it,
    most large MP3s need not be read through.

    Raises TransientError when Storage or this machine is in trouble, and UnusableFfprobeError for a URL this
    ffprobe can't read.
    """
    large_mp3 = is_one_of(declared, {"mp3"}) and (size or 0) >= mp3.LARGE
    probing = _Probe(await ffprobe.source(url), look, ffprobe, limits)
    # A static build starts in no time, and npm's finds no packets beyond the end. Where ffprobe looks at the end
    # anyway, a seek to it would search for what is known.
    # The end of an MP3 is found by reading through it, which takes longer than another start from some size on.
    sought = large_mp3 or is_one_of(declared, MEASURED_FROM_END)
    at_a_glance = not ffprobe.static and not sought
    return await probing.report(at_a_glance=at_a_glance)


class _Probe:
    """The passes over one file."""

    def __init__(self, source: list[str], look: mp3.Look | None, ffprobe: Ffprobe, limits: Limits) -> None:
        self._source = source
        self._look = look
        self._ffprobe = ffprobe
        self._limits = limits

    async def report(self, *, at_a_glance: bool) -> Report:
        glance = await self._glance() if at_a_glance else MISSING
        if glance is not None and glance != MISSING:
            return glance
        document = bytearray()
        ending = await self._run(
            ["-show_error", "-show_entries", header.ENTRIES, "-print_format", "json=compact=1"],
            seconds=self._limits.seconds,
            receive=document.extend,
            capacity=self._limits.output_bytes,
        )
        if unread := diagnosis.of_opening(ending, bytes(document)):
            if unread == MISSING and glance != MISSING:
                raise TransientError(NOT_AGAIN)
            return unread
        try:
            found = header.read(bytes(document))
        except header.MalformedReportError:
            return Unread("crashed")
        if not found.counted:
            return found.media
        return await self._with_duration(found, None, estimated=ESTIMATED in ending.errors)

    async def _glance(self) -> Report | None:
        """The report, if one pass over header and end could give it without any trouble; `MISSING` if there seems to be
        nothing, which a later request of this pass may have been told by mistake. Raises TransientError."""
        document = bytearray()
        ending = await self._run(
            [
                *("-read_intervals", BEYOND, "-show_error"),
                *("-show_entries", f"{header.ENTRIES}:{packets.ENTRIES}", "-print_format", "json=compact=1"),
            ],
            seconds=min(GLANCE_SECONDS, self._limits.seconds),
            receive=document.extend,
            capacity=self._limits.output_bytes,
        )
        if header.error_code(bytes(document)) is not None:
            unread = diagnosis.of_opening(ending, bytes(document))
            return unread if unread == MISSING else None
        if ending.how != "exited" or ending.status != 0 or diagnosis.network_trouble(ending.errors):
            return None
        try:
            found = header.read(bytes(document))
        except header.MalformedReportError:
            return None
        if not found.counted:
            return found.media
        end = packets.Span.of_report(bytes(document), found.counted)
        return await self._with_duration(found, end, estimated=ESTIMATED in ending.errors)

    async def _with_duration(self, found: Header, end: packets.Span | None, *, estimated: bool) -> Media | Unread:
        """`end` is what a glance saw of the last packets."""
        if end is None and (counted := await self._frames(found)) is not None:
            return found.media.lasting(counted - (found.start or 0))
        if found.claimed is not None and found.claimed > 0 and (found.is_pcm or not estimated):
            if found.media.container in MEASURED_FROM_END or found.holds(found.claimed, CLOSE):
                return found.media.lasting(found.claimed)
            if (checked := await self._checked(found, found.claimed, end)) is not None:
                return found.media.lasting(checked)
        elif end and (counted := _counted(found, end)) is not None:
            return found.media.lasting(counted)
        measured = await self._packets(found, from_second=None, seconds=self._limits.measure_seconds)
        if isinstance(measured, Unread):
            return measured
        length = _length(found, measured)
        if not estimated and _lacks(found, measured, length):
            # Not every refusal of Storage stands in the log; it looks like the end, but somewhere else.
            if (found.media.size or 0) - measured.reach > measured.largest + NEAR:
                raise TransientError("the file was not read to its end")
            return Unread("cut_off")
        return found.media.lasting(length)

    async def _checked(self, found: Header, claimed: Decimal, end: packets.Span | None) -> Decimal | None:
        """The duration if the last packets bear the claim out, else None."""
        if end and (checked := _borne_out(found, claimed, end)) is not None:
            return checked
        start = found.start or Decimal(0)
        tail = await self._packets(found, from_second=start + claimed - TAIL, seconds=self._limits.seconds)
        return None if isinstance(tail, Unread) else _borne_out(found, claimed, tail)

    async def _frames(self, found: Header) -> Decimal | None:
        """How long the frames of a large MP3 last, where a few of them tell, and soon. Raises TransientError."""
        size, look = found.media.size or 0, self._look
        if look is None or found.media.container != "mp3" or size < mp3.LARGE:
            return None

        async def patiently(place: int, length: int) -> bytes:
            try:
                return await look(place, length)
            except TransientError:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
                return await look(place, length)

        try:
            async with asyncio.timeout(LOOKING_SECONDS):
                return await mp3.seconds(patiently, size)
        except TimeoutError:
            return None

    async def _packets(self, found: Header, *, from_second: Decimal | None, seconds: float) -> packets.Span | Unread:
        span = packets.Span(found.counted)
        seeks = from_second is not None and from_second > 0
        interval = ["-read_intervals", f"{from_second:.3f}%"] if seeks else []
        ending = await self._run(
            [*interval, "-show_entries", packets.ENTRIES, "-print_format", packets.FORMAT],
            seconds=seconds,
            receive=span.feed,
            capacity=self._limits.packet_bytes,
        )
        if unread := diagnosis.of_reading(ending):
            return unread
        if ending.status > 0 and span.end is None and not seeks:
            raise TransientError(NOT_AGAIN)
        span.broke_off = diagnosis.BROKE_OFF.search(ending.errors) is not None
        return span

    async def _run(
        self, asked: list[str], *, seconds: float, receive: Callable[[bytes], None], capacity: int
    ) -> ProcessResult:
        stall = str(int(self._limits.stall_seconds * 1_000_000))  # microseconds
        return await run(
            [
                str(self._ffprobe.path),
                *("-hide_banner", "-loglevel", "warning"),
                *("-format_whitelist", FORMATS),
                *("-probesize", "5000000", "-analyzeduration", "10000000", "-max_streams", "100"),
                # Without -reconnect a reset connection looks like the end of the file, and nothing in the log
                # says otherwise.
                *("-rw_timeout", stall, "-reconnect", "1", "-reconnect_delay_max", "2"),
                *("-icy", "0", "-user_agent", "assetdock"),
                *asked,
                *self._source,
            ],
            limits=self._limits,
            seconds=seconds,
            environment=self._ffprobe.environment,
            receive=receive,
            capacity=capacity,
        )


def _borne_out(found: Header, claimed: Decimal, tail: packets.Span) -> Decimal | None:
    """The duration if a file whose last packets are these may claim so much, else None."""
    if tail.end is None:
        return None
    start = found.start or Decimal(0)
    is_mp3 = found.media.container == "mp3"
    too_long, too_late = abs(tail.end - start - claimed), abs(tail.end - claimed)
    if min(too_long, too_late) > _close(found, claimed):
        return None
    # Most containers claim a length, some the time of the end; MP3 counts the encoder's delay, which `start` skips.
    return claimed - start if is_mp3 or too_late < too_long else claimed


def _counted(found: Header, end: packets.Span) -> Decimal | None:
    """The duration where finding the last packets is as good as counting all, None elsewhere.

    They have to end where the file does: a request that Storage refused half-way looks like the end, and not every
    refusal stands in the log.
    """
    start = Decimal(0) if found.media.container in FROM_ZERO else found.start
    if end.end is None or start is None or found.media.size is None or found.media.container not in COUNTED_TO_END:
        return None
    return end.end - start if 0 <= found.media.size - end.reach <= packets.TRAILER else None


def _close(found: Header, claimed: Decimal) -> Decimal:
    """Seconds by which a claim may differ from what there is."""
    return max(CLOSE, claimed * CLOSE_IN_MP3) if found.media.container == "mp3" else CLOSE


def _lacks(found: Header, span: packets.Span, length: Decimal | None) -> bool:
    """Whether a file whose packets all were read holds less than it says, and proves it (decision 41)."""
    claimed = found.claimed or Decimal(0)
    if claimed - (length or 0) <= _close(found, claimed) or found.bytes_lasting(claimed) >= MADE_UP:
        return False
    container = found.media.container
    if container in COUNTS_ITS_SAMPLES:
        return True
    return span.broke_off and (
        container in SIZES_ITS_ELEMENTS or (container in LISTS_ITS_SAMPLES and found.lists_samples)
    )


def _length(found: Header, span: packets.Span) -> Decimal | None:
    """End minus start. Subtitles count from the start of what they belong to, which is zero, not from their
    first cue."""
    if span.end is None:
        return None
    if found.media.container == "srt":
        return span.end
    start = found.start if found.start is not None else span.first
    return span.end - (start or Decimal(0))
