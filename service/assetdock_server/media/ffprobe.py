"""Probes a file with ffprobe: its streams and its real duration.

A truncated recording keeps the header of the whole recording. So the last packets must confirm the duration that the
header claims, which costs one or two range requests. All packets are read if the header claims no duration, if ffprobe
only estimates it from the bit rate, or if the last packets do not confirm it. For a large MP3, some frames are usually
enough (`mp3/duration.py`).

Starting ffprobe costs more than its work on most files. So the quick probe reads the header and the last packets in
one pass: it seeks past the end of the file. If this pass fails, a second pass reads the header and further passes read
packets.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal

from assetdock_server.media import diagnosis, header, packets
from assetdock_server.media.binary import Ffprobe
from assetdock_server.media.content_types import BY_DEMUXER, is_one_of
from assetdock_server.media.header import Header
from assetdock_server.media.mp3 import duration as mp3
from assetdock_server.media.report import Media, ReadFailure, Report, TransientError
from assetdock_server.media.sandbox.run import Limits, ProcessResult, run
from assetdock_server.media.truncation import PLACEHOLDER_SIZE

# Only the list, whose containers need no other file. Excluded are demuxers that open other files or URLs (hls, dash,
# concat, image2, sdp, rtsp, playlists), and hundreds of raw and game formats that only attackers upload.
FORMATS = ",".join(BY_DEMUXER)
SAMPLING_SECONDS = 60.0  # for the frames of a large MP3; after that, reading the file is faster
RETRY_SECONDS = 1.0  # before a range request is repeated: a large MP3 needs hundreds of them, and one may fail
QUICK_PROBE_SECONDS = 20.0  # without an index, seeking to the end reads the whole file
PAST_END = "100000000%"  # a read interval that begins at 100 million seconds: after three years
# The first key frame of a video may come long after its sound: a recorder joined the broadcast in between.
LATE_VIDEO = ("-probesize", "100000000", "-analyzeduration", "120000000")
TAIL_SECONDS = Decimal(5)  # the packets of these last seconds before the claimed end must confirm it
TOLERANCE = Decimal("0.25")  # seconds from the claimed end to the last packet: a few frames of low-rate video
# ffprobe seeks in an MP3 by a table of 100 positions rounded to 1/256 of the file. So after a seek the time stamps
# can be wrong by up to this share of the duration.
MP3_TOLERANCE = Decimal("0.015")
# For these, ffprobe computes the duration from time stamps at the end of the file. That is wrong for chained and joined
# files, whose clock starts again, and it omits the last frames. So every packet is read.
MEASURED_FROM_END = {"mpegts", "mpeg", "ogg"}
# For these, ffprobe finds the end by reading every packet or by frame numbers, which is as exact as measuring.
COUNTED_TO_END = {"mp3", "aac", "ac3", "matroska", "webm", "flac"}
# For these, ffprobe counts frames without time stamps and reports no start.
STARTS_AT_ZERO = {"aac", "ac3"}
MAX_GAP = 64 * 1024  # bytes between the last whole packet and a truncation, not counting an incomplete packet
MISSING = ReadFailure("missing")
REOPEN_FAILED = "ffprobe could not open the file again"
# In these, the claimed duration is the number of samples of the only stream: a file with fewer is truncated. In other
# containers a long text track can make the claim longer than the sound, so the demuxer must also report missing bytes.
COUNTS_SAMPLES = {"flac", "mp3", "aiff"}
LISTS_SAMPLES = {"mp4", "mov", "3gp"}
SIZES_ELEMENTS = {"matroska", "webm"}
ESTIMATED = b"Estimating duration from bitrate"


async def probe(
    url: str,
    *,
    ffprobe: Ffprobe,
    limits: Limits,
    declared: str | None = None,
    size: int | None = None,
    read_range: mp3.ReadRange | None = None,
) -> Report:
    """Probes the file at a signed URL with range requests. The `declared` content type and the `size` in bytes affect
    how the file is read, not the result. With `read_range(offset, length)`, most large MP3s are not read completely.

    Raises TransientError when Storage or this machine fails, and UnusableFfprobeError for a URL that this ffprobe
    cannot read.
    """
    large_mp3 = is_one_of(declared, {"mp3"}) and (size or 0) >= mp3.LARGE
    passes = _Passes(await ffprobe.source(url), read_range, ffprobe, limits)
    # There is no quick probe in three cases. A static build starts fast, and npm's finds no packets when it seeks past
    # the end. For MEASURED_FROM_END, every pass of ffprobe reads the end. In a large MP3, a seek to the end reads the
    # whole file, which takes longer than starting ffprobe again.
    quick = not (ffprobe.static or large_mp3 or is_one_of(declared, MEASURED_FROM_END))
    return await passes.report(quick=quick)


class _Passes:
    """Runs ffprobe over one file, in one or more passes."""

    def __init__(self, source: list[str], read_range: mp3.ReadRange | None, ffprobe: Ffprobe, limits: Limits) -> None:
        self._source = source
        self._read_range = read_range
        self._ffprobe = ffprobe
        self._limits = limits

    async def report(self, *, quick: bool) -> Report:
        quick_result = await self._quick_probe() if quick else MISSING
        if quick_result is not None and quick_result != MISSING:
            return quick_result
        document = bytearray()
        result = await self._run(
            ["-show_error", "-show_entries", header.ENTRIES, "-print_format", "json=compact=1"],
            seconds=self._limits.seconds,
            receive=document.extend,
            capacity=self._limits.output_bytes,
        )
        if failure := diagnosis.header_pass_failure(result, bytes(document)):
            if failure == MISSING and quick_result != MISSING:
                raise TransientError(REOPEN_FAILED)
            return failure
        try:
            found = header.read(bytes(document))
            if found.sizeless_video:
                late = await self._late_video()
                if isinstance(late, ReadFailure):
                    return late
                found = late
        except header.MalformedReportError:
            return ReadFailure("crashed")
        if not found.counted:
            return found.media
        return await self._with_duration(found, None, estimated=ESTIMATED in result.errors)

    async def _late_video(self) -> Header | ReadFailure:
        """The header from a pass that looks further into the file, for the first key frame of a video.

        A failure must not leave the header without the video: the file would fail as one without a picture. Raises
        TransientError.
        """
        document = bytearray()
        result = await self._run(
            [*LATE_VIDEO, "-show_error", "-show_entries", header.ENTRIES, "-print_format", "json=compact=1"],
            seconds=self._limits.seconds,
            receive=document.extend,
            capacity=self._limits.output_bytes,
        )
        if failure := diagnosis.header_pass_failure(result, bytes(document)):
            if failure == MISSING:
                raise TransientError(REOPEN_FAILED)  # the pass before has read the object
            return failure
        return header.read(bytes(document))

    async def _quick_probe(self) -> Report | None:
        """The report from one pass over header and end; None if anything went wrong. Another pass must confirm
        `MISSING`: perhaps only a later request of this pass failed. Raises TransientError."""
        document = bytearray()
        result = await self._run(
            [
                *("-read_intervals", PAST_END, "-show_error"),
                *("-show_entries", f"{header.ENTRIES}:{packets.ENTRIES}", "-print_format", "json=compact=1"),
            ],
            seconds=min(QUICK_PROBE_SECONDS, self._limits.seconds),
            receive=document.extend,
            capacity=self._limits.output_bytes,
        )
        if header.error_code(bytes(document)) is not None:
            failure = diagnosis.header_pass_failure(result, bytes(document))
            return failure if failure == MISSING else None
        if result.how != "exited" or result.status != 0 or diagnosis.network_error(result.errors):
            return None
        try:
            found = header.read(bytes(document))
        except header.MalformedReportError:
            return None
        if found.sizeless_video:
            return None
        if not found.counted:
            return found.media
        end = packets.Span.of_report(bytes(document), found.counted)
        return await self._with_duration(found, end, estimated=ESTIMATED in result.errors)

    async def _with_duration(self, found: Header, end: packets.Span | None, *, estimated: bool) -> Media | ReadFailure:
        """Adds the duration. `end` describes the last packets; None without a successful quick probe."""
        if end is None and (sampled := await self._mp3_duration(found)) is not None:
            return found.media.with_duration(sampled - (found.start or 0))
        if found.must_be_read or found.media.container in MEASURED_FROM_END:
            pass
        elif found.claimed is not None and found.claimed > 0 and (found.is_pcm or not estimated):
            if found.pcm_size_matches(found.claimed, TOLERANCE):
                return found.media.with_duration(found.claimed)
            if (verified := await self._verified(found, found.claimed, end)) is not None:
                return found.media.with_duration(verified)
        elif end and (exact := _counted(found, end)) is not None:
            return found.media.with_duration(exact)
        measured = await self._packets(found, from_second=None, seconds=self._limits.measure_seconds)
        if isinstance(measured, ReadFailure):
            return measured
        found = found.without(found.unseen - measured.present)
        if not found.counted:
            return found.media
        length = _length(found, measured)
        if not estimated and _is_truncated(found, measured, length):
            # ffprobe does not log every rejected request, and takes it for the end of the file. The offset shows the
            # difference: the last packet is far from the real end.
            if (found.media.size or 0) - measured.end_offset > measured.largest + MAX_GAP:
                raise TransientError("the file was not read to its end")
            return ReadFailure("truncated")
        return found.media.with_duration(length).with_rates(measured.frames, length)

    async def _verified(self, found: Header, claimed: Decimal, end: packets.Span | None) -> Decimal | None:
        """The duration if the last packets confirm the claim, else None."""
        if end and (verified := _confirmed(found, claimed, end)) is not None:
            return verified
        start = found.start or Decimal(0)
        tail = await self._packets(found, from_second=start + claimed - TAIL_SECONDS, seconds=self._limits.seconds)
        return None if isinstance(tail, ReadFailure) else _confirmed(found, claimed, tail)

    async def _mp3_duration(self, found: Header) -> Decimal | None:
        """The duration of a large MP3 from samples of its frames, or None. Raises TransientError."""
        size, read_range = found.media.size or 0, self._read_range
        if read_range is None or found.media.container != "mp3" or size < mp3.LARGE:
            return None

        async def with_retry(offset: int, length: int) -> bytes:
            try:
                return await read_range(offset, length)
            except TransientError:
                await asyncio.sleep(RETRY_SECONDS)
                return await read_range(offset, length)

        try:
            async with asyncio.timeout(SAMPLING_SECONDS):
                return await mp3.seconds(with_retry, size)
        except TimeoutError:
            return None

    async def _packets(
        self, found: Header, *, from_second: Decimal | None, seconds: float
    ) -> packets.Span | ReadFailure:
        span = packets.Span(found.counted)
        seeks = from_second is not None and from_second > 0
        interval = ["-read_intervals", f"{from_second:.3f}%"] if seeks else []
        result = await self._run(
            [*interval, "-show_entries", packets.ENTRIES, "-print_format", packets.FORMAT],
            seconds=seconds,
            receive=span.feed,
            capacity=self._limits.packet_bytes,
        )
        if failure := diagnosis.packet_pass_failure(result):
            return failure
        if result.status > 0 and span.end is None and not seeks:
            raise TransientError(REOPEN_FAILED)
        span.reports_truncation = diagnosis.TRUNCATION.search(result.errors) is not None
        return span

    async def _run(
        self, options: list[str], *, seconds: float, receive: Callable[[bytes], None], capacity: int
    ) -> ProcessResult:
        stall = str(int(self._limits.stall_seconds * 1_000_000))  # microseconds
        return await run(
            [
                str(self._ffprobe.path),
                *("-hide_banner", "-loglevel", "warning"),
                *("-format_whitelist", FORMATS),
                *("-probesize", "5000000", "-analyzeduration", "10000000", "-max_streams", "100"),
                # Without -reconnect a reset connection looks like the end of the file and is not logged.
                *("-rw_timeout", stall, "-reconnect", "1", "-reconnect_delay_max", "2"),
                *("-icy", "0", "-user_agent", "assetdock"),
                *options,
                *self._source,
            ],
            limits=self._limits,
            seconds=seconds,
            environment=self._ffprobe.environment,
            receive=receive,
            capacity=capacity,
        )


def _confirmed(found: Header, claimed: Decimal, tail: packets.Span) -> Decimal | None:
    """The duration if the last packets confirm the claim, else None."""
    if tail.end is None:
        return None
    start = found.start or Decimal(0)
    length_error, end_error = abs(tail.end - start - claimed), abs(tail.end - claimed)
    if min(length_error, end_error) > _tolerance(found, claimed):
        return None
    # Most containers claim a length, some the time of the end. The claim of an MP3 includes the encoder's delay, which
    # ends at `start`.
    return claimed - start if found.media.container == "mp3" or end_error < length_error else claimed


def _counted(found: Header, end: packets.Span) -> Decimal | None:
    """The duration, if the last packets give it as exactly as all packets would; else None.

    The last packet must end where the file ends: ffprobe takes a rejected request for the end and does not always
    log it.
    """
    start = Decimal(0) if found.media.container in STARTS_AT_ZERO else found.start
    if end.end is None or start is None or found.media.size is None or found.media.container not in COUNTED_TO_END:
        return None
    return end.end - start if 0 <= found.media.size - end.end_offset <= packets.TRAILER else None


def _tolerance(found: Header, claimed: Decimal) -> Decimal:
    """Seconds by which a claim may differ from the packets."""
    return max(TOLERANCE, claimed * MP3_TOLERANCE) if found.media.container == "mp3" else TOLERANCE


def _is_truncated(found: Header, span: packets.Span, length: Decimal | None) -> bool:
    """Whether a file that was read completely has less content than it claims (decision 41)."""
    claimed = found.claimed or Decimal(0)
    if claimed - (length or 0) <= _tolerance(found, claimed) or found.pcm_bytes(claimed) >= PLACEHOLDER_SIZE:
        return False
    container = found.media.container
    if container in COUNTS_SAMPLES:
        return True
    return span.reports_truncation and (
        container in SIZES_ELEMENTS or (container in LISTS_SAMPLES and found.lists_samples)
    )


def _length(found: Header, span: packets.Span) -> Decimal | None:
    """End minus start. Subtitles start at zero, like the media they belong to, not at their first cue."""
    if span.end is None:
        return None
    if found.media.container == "srt":
        return span.end
    start = found.start if found.start is not None else span.first
    if found.media.container in MEASURED_FROM_END:
        return span.timeline.seconds(start)
    return span.end - (start or Decimal(0))
