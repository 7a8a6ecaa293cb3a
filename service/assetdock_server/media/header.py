"""Parses ffprobe's JSON report about a file's container and streams."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal

import orjson

from assetdock_server.media.content_types import BY_DEMUXER
from assetdock_server.media.packets import seconds
from assetdock_server.media.report import Kind, Media, Stream

# Only the fields that are used below: tags can be of any length, and lyrics would exceed the output limit.
ENTRIES = (
    "format=format_name,start_time,duration,size:format_tags=major_brand"
    ":stream=index,codec_type,codec_name,width,height,avg_frame_rate,r_frame_rate,channels,channel_layout,sample_rate"
    ",bit_rate,nb_frames,start_time,duration,color_transfer"
    ":stream_disposition=attached_pic,timed_thumbnails:stream_tags=rotate,language:stream_side_data=rotation"
)
KINDS: dict[object, Kind] = {"video": "video", "audio": "audio", "subtitle": "subtitle"}
WEBM_CODECS = {"vp8", "vp9", "av1", "opus", "vorbis", "webvtt"}
MOV_FAMILY = {"mp4", "mov", "3gp"}
LISTS_TRACKS = {*MOV_FAMILY, "matroska", "webm"}  # the header lists tracks, which may be empty
PICTURE_CODECS = {"mjpeg", "png", "bmp", "gif", "webp", "tiff"}
DEFAULT_LAYOUTS = {1: "mono", 2: "stereo"}
HDR_TRANSFERS = {"smpte2084", "arib-std-b67"}  # PQ and HLG
# A faster r_frame_rate is the clock of the time stamps, such as 1000/1 in WebM and 90000/1 in MPEG.
MAX_GUESSED_RATE = 240
NO_NAMES = {"und", "unknown", "N/A"}
MAX_INTEGER = 2**53  # many JSON parsers lose precision above it


class MalformedReportError(Exception):
    """The report is not in ffprobe's documented form."""


@dataclass(frozen=True)
class Header:
    """The report: `media` without a duration, and claims of the file that must be verified."""

    media: Media
    start: Decimal | None  # seconds; start of the first stream
    claimed: Decimal | None  # seconds; the duration in the container, or ffprobe's estimate
    lists_samples: bool = False  # an index lists every sample, as in an MP4 that is not fragmented
    unseen: frozenset[int] = frozenset()  # streams of which ffprobe saw no packet: they may have none
    sizeless_video: bool = False  # ffprobe saw no key frame of a video

    @property
    def counted(self) -> set[int]:
        """Indexes of the streams that determine the duration: audio and video, or else subtitles."""
        playable = {stream.index for stream in self.media.streams if stream.kind in ("audio", "video")}
        return playable or {stream.index for stream in self.media.streams if stream.kind == "subtitle"}

    @property
    def must_be_read(self) -> bool:
        """Whether only the packets tell a fact: that a stream has any, or the frame rate of a video."""
        lists_tracks = self.media.container in LISTS_TRACKS
        return (lists_tracks and bool(self.unseen & self.counted)) or any(
            stream.kind == "video" and stream.frame_rate is None for stream in self.media.streams
        )

    def without(self, indexes: frozenset[int]) -> "Header":
        """The same report without these playable streams, which have no packets."""
        return replace(self, media=self.media.without(indexes & self.counted))

    @property
    def is_pcm(self) -> bool:
        """Whether all audio is PCM, so that the size determines the duration exactly."""
        sound = [stream for stream in self.media.streams if stream.index in self.counted]
        return bool(sound) and all(stream.codec.startswith("pcm_") for stream in sound)

    def pcm_size_matches(self, claimed: Decimal, within: Decimal) -> bool:
        """Whether the file has the size of `claimed` seconds of PCM, and at most `within` seconds more.

        PCM packets would give no more information: their times follow from their file offsets.
        """
        rate = self._pcm_rate
        if self.start or self.media.size is None or rate == 0:
            return False
        return 0 <= Decimal(self.media.size * 8) / rate - claimed <= within

    def pcm_bytes(self, seconds: Decimal) -> int:
        """Bytes of `seconds` of PCM; 0 if the audio is not PCM."""
        return int(seconds * self._pcm_rate / 8)

    @property
    def _pcm_rate(self) -> int:
        """Bits per second; 0 if the audio is not PCM."""
        if not self.is_pcm:
            return 0
        return sum(stream.bit_rate or 0 for stream in self.media.streams if stream.index in self.counted)


def error_code(document: bytes) -> int | None:
    """The AVERROR in the report, or None."""
    try:
        code = _object(_object(orjson.loads(document)).get("error")).get("code")
    except orjson.JSONDecodeError:
        return None
    return code if isinstance(code, int) else None


def read(document: bytes) -> Header:
    """Parses a report. Raises only MalformedReportError."""
    try:
        report = _object(orjson.loads(document))
    except orjson.JSONDecodeError as error:
        raise MalformedReportError("not JSON") from error
    format_ = _object(report.get("format"))
    entries = _objects(report.get("streams"))
    lists_samples = any(_positive(entry.get("nb_frames")) for entry in entries)
    if _text(format_.get("format_name")).startswith("mov") and lists_samples:
        entries = [entry for entry in entries if _positive(entry.get("nb_frames")) or not _is_playable(entry)]
    streams = tuple(_streams(entries))
    container = _container(format_, streams)
    media = Media(container, streams, size=_whole(format_.get("size")))
    start = _time(format_.get("start_time"))
    if start is not None and start < 0 and container in MOV_FAMILY:
        start = Decimal(0)  # an edit list hides what precedes zero; in fragmented files without the flag `D`
    return Header(
        media,
        start=start,
        claimed=_time(format_.get("duration")),
        lists_samples=lists_samples,
        unseen=frozenset(
            index
            for entry in entries
            if entry.get("start_time") in (None, "N/A") and (index := _whole(entry.get("index"))) is not None
        ),
        sizeless_video=any(
            entry.get("codec_type") == "video" and not _positive(entry.get("width")) and not _is_cover(entry)
            for entry in entries
        ),
    )


def _container(format_: dict[str, object], streams: tuple[Stream, ...]) -> str:
    names = format_.get("format_name")
    if not isinstance(names, str) or not names:
        raise MalformedReportError("no format name")
    name = names.split(",")[0]
    if name == "mov":
        brand = str(_object(format_.get("tags")).get("major_brand", "")).strip().lower()
        if brand.startswith("3g"):
            return "3gp"
        return "mov" if brand in ("qt", "") else "mp4"  # old QuickTime files have no brand
    if name == "matroska":
        # ffprobe does not report the DocType: a Matroska file with only WebM codecs counts as WebM.
        codecs = {stream.codec for stream in streams if stream.kind != "data"}
        return "webm" if codecs and codecs <= WEBM_CODECS else "matroska"
    container = BY_DEMUXER.get(name)
    if container is None:
        raise MalformedReportError("a format that is not on the list")
    return container


def _is_playable(found: dict[str, object]) -> bool:
    return found.get("codec_type") in ("audio", "video")


def _is_cover(found: dict[str, object]) -> bool:
    """Whether a stream is marked as a picture, or is a single one: the picture of an AVIF or HEIC lasts no time."""
    disposition = _object(found.get("disposition"))
    if disposition.get("attached_pic") == 1 or disposition.get("timed_thumbnails") == 1:
        return True
    is_single = _positive(found.get("nb_frames")) == 1
    return is_single and (_text(found.get("codec_name")) in PICTURE_CODECS or not _time(found.get("duration")))


def _streams(listed: list[dict[str, object]]) -> Iterator[Stream]:
    for found in listed:
        index = _whole(found.get("index"))
        if index is None:
            continue
        codec = found.get("codec_name")
        kind = KINDS.get(_text(found.get("codec_type")), "data")
        width, height = _positive(found.get("width")), _positive(found.get("height"))
        channels, sample_rate = _positive(found.get("channels")), _positive(found.get("sample_rate"))
        if kind == "video" and _is_cover(found):
            kind = "data"
        if (kind == "video" and not (width and height)) or (kind == "audio" and not (channels and sample_rate)):
            kind = "data"  # a track without decodable samples
        yield Stream(
            index=index,
            kind=kind,
            codec=codec if isinstance(codec, str) and codec else "unknown",
            width=width,
            height=height,
            frame_rate=_rate(found.get("avg_frame_rate"), 999) or _rate(found.get("r_frame_rate"), MAX_GUESSED_RATE),
            rotation=_rotation(found),
            channels=channels,
            sample_rate=sample_rate,
            bit_rate=_positive(found.get("bit_rate")),
            # A header without a layout, such as that of a plain WAV, is played as mono or stereo.
            channel_layout=_name(found.get("channel_layout")) or DEFAULT_LAYOUTS.get(channels or 0),
            hdr=_text(found.get("color_transfer")) in HDR_TRANSFERS,
            language=_name(_object(found.get("tags")).get("language")),
        )


def _name(value: object) -> str | None:
    """A short name as ffprobe or the file gives it. None for what means "unknown"."""
    text = _text(value).strip("\0 ")
    return text if 0 < len(text) <= 64 and text.isascii() and text.isprintable() and text not in NO_NAMES else None


def _rotation(found: dict[str, object]) -> int | None:
    """Degrees clockwise. The display matrix counts counterclockwise, the `rotate` tag of older ffprobe clockwise."""
    for entry in _objects(found.get("side_data_list")):
        degrees = entry.get("rotation")
        if isinstance(degrees, int) and abs(degrees) <= 360:
            return -degrees % 360
    tagged = _whole(_object(found.get("tags")).get("rotate"))
    return None if tagged is None else tagged % 360


def _rate(fraction: object, limit: int) -> str | None:
    """`30000/1001` as `29.970`. None for 0/0, and above `limit`: some containers store clock ticks instead."""
    over, _, under = _text(fraction).partition("/")
    numerator, denominator = _positive(over), _positive(under)
    if numerator is None or denominator is None:
        return None
    rate = (Decimal(numerator) / denominator).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return str(rate) if 0 < rate <= limit else None


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, object]]:
    return [_object(entry) for entry in value] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> Decimal | None:
    return seconds(_text(value))


def _whole(value: object) -> int | None:
    """A non-negative integer, from a number or a string of digits; ffprobe prints both."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER else None


def _positive(value: object) -> int | None:
    return _whole(value) or None
