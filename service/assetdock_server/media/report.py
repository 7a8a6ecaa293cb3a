"""What a probe found: the media, or why there is none."""

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from assetdock_server.media.content_types import detected

Kind = Literal["video", "audio", "subtitle", "data"]
JSON = dict[str, object]


@dataclass(frozen=True)
class Stream:
    """One track. Cover art is of kind `data`: it is a picture that travels with the sound, not video."""

    index: int
    kind: Kind
    codec: str
    width: int | None = None
    height: int | None = None
    frame_rate: str | None = None  # pictures a second, a decimal string with three places
    rotation: int | None = None  # degrees clockwise to turn the picture for display, 0 to 359
    channels: int | None = None
    sample_rate: int | None = None  # hertz
    bit_rate: int | None = None  # bits a second

    def as_json(self) -> JSON:
        """The stream as `media.streams` shows it: every key of its kind, null where the file doesn't say."""
        shown: JSON = {"kind": self.kind, "codec": self.codec}
        if self.kind == "video":
            shown |= {"width": self.width, "height": self.height, "frame_rate": self.frame_rate}
            if self.rotation:
                shown["rotation"] = self.rotation
        if self.kind == "audio":
            shown |= {"channels": self.channels, "sample_rate": self.sample_rate}
        if self.kind in ("audio", "video"):
            shown["bit_rate"] = self.bit_rate
        return shown


@dataclass(frozen=True)
class Media:
    """A file that could be read. `container` is one canonical short name (`content_types.CONTAINERS`)."""

    container: str
    streams: tuple[Stream, ...]
    size: int | None = None  # bytes
    duration: Decimal | None = None  # seconds, three places; None when the file holds nothing that lasts

    def has(self, kind: Kind) -> bool:
        """Whether there is a stream of this kind."""
        return any(stream.kind == kind for stream in self.streams)

    def lasting(self, seconds: Decimal | None) -> "Media":
        """The same media with its duration, rounded to milliseconds."""
        if seconds is None or seconds <= 0:
            return replace(self, duration=None)
        return replace(self, duration=seconds.quantize(Decimal("0.001"), ROUND_HALF_UP))

    @property
    def content_type(self) -> str:
        """What the bytes are, whatever was declared: `audio/mpeg`, `video/mp4` …"""
        return detected(self.container, has_video=self.has("video"))

    @property
    def bit_rate(self) -> int | None:
        """Bits a second over the whole file. Ours rather than ffprobe's, which divides by the duration it
        assumed."""
        if self.size is None or not self.duration:
            return None
        return int(self.size * 8 / self.duration)

    def as_json(self) -> JSON:
        """The `media` object of an asset."""
        return {
            "container": self.container,
            "bit_rate": self.bit_rate,
            "streams": [stream.as_json() for stream in self.streams],
        }


@dataclass(frozen=True)
class Unread:
    """The bytes gave no media.

    unreadable  ffprobe could make nothing of them, or they are of a format that isn't accepted
    cut_off     they are fewer than they say themselves
    missing     Storage says that there is no such object
    timed_out   reading them took longer than the limits allow
    crashed     they broke ffprobe, or took more memory than the limits allow
    """

    reason: Literal["unreadable", "cut_off", "missing", "timed_out", "crashed"]


Report = Media | Unread


class TransientError(Exception):
    """Nothing was learnt about the bytes: Storage or this worker is in trouble. Try the job again later.

    Its text is for the operator's log and holds no URL.
    """
