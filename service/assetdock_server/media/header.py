"""Reads the JSON ffprobe prints about a file's container and streams."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

import orjson

from assetdock_server.media.content_types import CONTAINERS
from assetdock_server.media.packets import seconds
from assetdock_server.media.report import Kind, Media, Stream

# Only what is read below: tags are as long as their author wishes, and a song with its lyrics would pass the
# output limit.
ENTRIES = (
    "format=format_name,start_time,duration,size:format_tags=major_brand"
    ":stream=index,codec_type,codec_name,width,height,avg_frame_rate,r_frame_rate,channels,sample_rate,bit_rate,nb_frames"
    ":stream_disposition=attached_pic,timed_thumbnails:stream_tags=rotate:stream_side_data=rotation"
)
KINDS: dict[object, Kind] = {"video": "video", "audio": "audio", "subtitle": "subtitle"}
# ffprobe's name of a demuxer → ours, where they differ. Matroska and the MP4 family are told apart by their
# contents.
RENAMED = {"dtshd": "dts", "amrnb": "amr", "amrwb": "amr"}
WEBM_CODECS = {"vp8", "vp9", "av1", "opus", "vorbis", "webvtt"}
LARGEST = 2**53  # JSON numbers above it are not safe for every reader


class MalformedReportError(Exception):
    """ffprobe printed something that isn't its documented form."""


@dataclass(frozen=True)
class Header:
    """What the file says about itself: `media` without its duration, and the claims that have to be
    checked."""

    media: Media
    start: Decimal | None  # seconds; where the first stream begins
    claimed: Decimal | None  # seconds; the duration, as the container says or ffprobe guesses
    lists_samples: bool = False  # an index names every sample, as in an mp4 that isn't fragmented

    @property
    def counted(self) -> set[int]:
        """Indexes of the streams that make the duration: sound and pictures, else (SubRip) text."""
        heard = {stream.index for stream in self.media.streams if stream.kind in ("audio", "video")}
        return heard or {stream.index for stream in self.media.streams if stream.kind == "subtitle"}

    @property
    def is_pcm(self) -> bool:
        """Whether every sample takes the same number of bits, so that a size gives an exact duration."""
        sound = [stream for stream in self.media.streams if stream.index in self.counted]
        return bool(sound) and all(stream.codec.startswith("pcm_") for stream in sound)

    def holds(self, claimed: Decimal, within: Decimal) -> bool:
        """Whether the file is as large as its PCM samples take for so long, and no larger than `within` seconds more.

        Their packets would say no more than that: where one ends follows from its place in the file.
        """
        rate = self._pcm_rate
        if self.start or self.media.size is None or rate == 0:
            return False
        return 0 <= Decimal(self.media.size * 8) / rate - claimed <= within

    def bytes_lasting(self, seconds: Decimal) -> int:
        """How many bytes its PCM takes for so long; 0 for what isn't PCM."""
        return int(seconds * self._pcm_rate / 8)

    @property
    def _pcm_rate(self) -> int:
        """Bits a second; 0 for what isn't PCM."""
        if not self.is_pcm:
            return 0
        return sum(stream.bit_rate or 0 for stream in self.media.streams if stream.index in self.counted)


def error_code(document: bytes) -> int | None:
    """The AVERROR ffprobe ended with, None when it reports none."""
    try:
        code = _object(_object(orjson.loads(document)).get("error")).get("code")
    except orjson.JSONDecodeError:
        return None
    return code if isinstance(code, int) else None


def read(document: bytes) -> Header:
    """Reads ffprobe's report. Raises MalformedReportError, and nothing else, for whatever isn't one."""
    try:
        report = _object(orjson.loads(document))
    except orjson.JSONDecodeError as error:
        raise MalformedReportError("not JSON") from error
    described = _object(report.get("format"))
    streams = tuple(_streams(report.get("streams")))
    container = _container(described, streams)
    media = Media(container, streams, size=_whole(described.get("size")))
    return Header(
        media,
        start=_time(described.get("start_time")),
        claimed=_time(described.get("duration")),
        lists_samples=any(_positive(entry.get("nb_frames")) for entry in _objects(report.get("streams"))),
    )


def _container(described: dict[str, object], streams: tuple[Stream, ...]) -> str:
    names = described.get("format_name")
    if not isinstance(names, str) or not names:
        raise MalformedReportError("no format name")
    name = names.split(",")[0]
    if name == "mov":
        brand = str(_object(described.get("tags")).get("major_brand", "")).strip().lower()
        if brand.startswith("3g"):
            return "3gp"
        return "mov" if brand in ("qt", "") else "mp4"  # QuickTime files older than brands have none
    if name == "matroska":
        # ffprobe doesn't tell the DocType: a Matroska file with nothing but WebM's codecs is as good as WebM.
        codecs = {stream.codec for stream in streams if stream.kind != "data"}
        return "webm" if codecs and codecs <= WEBM_CODECS else "matroska"
    canonical = RENAMED.get(name, name)
    if canonical not in CONTAINERS:
        raise MalformedReportError("a format outside the whitelist")
    return canonical


def _streams(listed: object) -> Iterator[Stream]:
    for found in _objects(listed):
        index = _whole(found.get("index"))
        if index is None:
            continue
        codec = found.get("codec_name")
        kind = KINDS.get(_text(found.get("codec_type")), "data")
        shown = _object(found.get("disposition"))
        width, height = _positive(found.get("width")), _positive(found.get("height"))
        channels, sample_rate = _positive(found.get("channels")), _positive(found.get("sample_rate"))
        if shown.get("attached_pic") == 1 or shown.get("timed_thumbnails") == 1:
            kind = "data"
        if (kind == "video" and not (width and height)) or (kind == "audio" and not (channels and sample_rate)):
            kind = "data"  # a track that is announced but of which nothing can be decoded
        yield Stream(
            index=index,
            kind=kind,
            codec=codec if isinstance(codec, str) and codec else "unknown",
            width=width,
            height=height,
            frame_rate=_rate(found.get("avg_frame_rate")) or _rate(found.get("r_frame_rate")),
            rotation=_rotation(found),
            channels=channels,
            sample_rate=sample_rate,
            bit_rate=_positive(found.get("bit_rate")),
        )


def _rotation(found: dict[str, object]) -> int | None:
    """Degrees clockwise. The display matrix counts the other way round; the tag of older ffprobe doesn't."""
    for entry in _objects(found.get("side_data_list")):
        turned = entry.get("rotation")
        if isinstance(turned, int) and abs(turned) <= 360:
            return -turned % 360
    tagged = _whole(_object(found.get("tags")).get("rotate"))
    return None if tagged is None else tagged % 360


def _rate(fraction: object) -> str | None:
    """`30000/1001` as `29.970`. None for 0/0, and for the ticks of a clock that some containers give instead
    of a rate."""
    over, _, under = _text(fraction).partition("/")
    numerator, denominator = _positive(over), _positive(under)
    if numerator is None or denominator is None:
        return None
    rate = (Decimal(numerator) / denominator).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return str(rate) if 0 < rate <= 1000 else None


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, object]]:
    return [_object(entry) for entry in value] if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _time(value: object) -> Decimal | None:
    return seconds(_text(value))


def _whole(value: object) -> int | None:
    """An integer from 0, as a number or, as ffprobe prints many, as a string of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST else None


def _positive(value: object) -> int | None:
    return _whole(value) or None
