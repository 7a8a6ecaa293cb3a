"""The result of a probe: the media, or the reason why the file could not be read."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

from assetdock_server.media.content_types import detected

Kind = Literal["video", "audio", "subtitle", "data"]
JSON = dict[str, object]
MAX_RATE = 1000  # frames per second


@dataclass(frozen=True)
class Stream:
    """One track. Cover art has the kind `data`: it is a picture, not video."""

    index: int
    kind: Kind
    codec: str
    width: int | None = None
    height: int | None = None
    frame_rate: str | None = None  # frames per second, a decimal string with three places
    rotation: int | None = None  # degrees clockwise to rotate for display, 0 to 359
    channels: int | None = None
    sample_rate: int | None = None  # hertz
    bit_rate: int | None = None  # bits per second
    channel_layout: str | None = None  # ffprobe's name, such as `stereo` or `5.1`
    hdr: bool = False  # high dynamic range: the transfer function is PQ or HLG
    language: str | None = None  # the language tag in the file, usually ISO 639-2

    @property
    def display_size(self) -> tuple[int | None, int | None]:
        """Width and height after the rotation."""
        turned = self.rotation in (90, 270)
        return (self.height, self.width) if turned else (self.width, self.height)

    def as_json(self) -> JSON:
        """The stream in `media.streams`: every key of its kind, null where the file has no value."""
        shown: JSON = {"kind": self.kind, "codec": self.codec}
        if self.kind == "video":
            shown |= {"width": self.width, "height": self.height, "frame_rate": self.frame_rate}
            if self.rotation:
                shown["rotation"] = self.rotation
            shown["display_width"], shown["display_height"] = self.display_size
            shown["hdr"] = self.hdr
        if self.kind == "audio":
            shown |= {"channels": self.channels, "sample_rate": self.sample_rate}
            shown["channel_layout"] = self.channel_layout
        if self.kind in ("audio", "video"):
            shown["bit_rate"] = self.bit_rate
        if self.language:
            shown["language"] = self.language
        return shown


@dataclass(frozen=True)
class Media:
    """A readable file. `container` is a key of `content_types.CONTAINERS`."""

    container: str
    streams: tuple[Stream, ...]
    size: int | None = None  # bytes
    duration: Decimal | None = None  # seconds, three places; None when no stream has a duration

    def has(self, kind: Kind) -> bool:
        """Whether there is a stream of this kind."""
        return any(stream.kind == kind for stream in self.streams)

    def with_rates(self, frames: dict[int, int], duration: Decimal | None) -> "Media":
        """The same media where videos without a frame rate have the average of their frames, if they were counted."""
        if not duration or duration <= 0:
            return self
        streams = []
        for stream in self.streams:
            if stream.kind == "video" and stream.frame_rate is None and frames.get(stream.index):
                rate = (frames[stream.index] / duration).quantize(Decimal("0.001"), ROUND_HALF_UP)
                streams.append(replace(stream, frame_rate=str(rate)) if 0 < rate < MAX_RATE else stream)
            else:
                streams.append(stream)
        return replace(self, streams=tuple(streams))

    def without(self, indexes: Collection[int]) -> "Media":
        """The same media without these streams."""
        return replace(self, streams=tuple(stream for stream in self.streams if stream.index not in indexes))

    def with_duration(self, seconds: Decimal | None) -> "Media":
        """The same media with this duration, rounded to milliseconds."""
        if seconds is None or seconds <= 0:
            return replace(self, duration=None)
        return replace(self, duration=seconds.quantize(Decimal("0.001"), ROUND_HALF_UP))

    @property
    def content_type(self) -> str:
        """The detected content type, such as `audio/mpeg` or `video/mp4`."""
        return detected(self.container, has_video=self.has("video"))

    @property
    def bit_rate(self) -> int | None:
        """Average bits per second. Not ffprobe's value, which is based on the duration that ffprobe assumes."""
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
class ReadFailure:
    """Why a file could not be read.

    unreadable  ffprobe does not recognise it, or its format is not accepted
    truncated   it has fewer bytes than it claims
    missing     Storage has no such object
    timed_out   reading took longer than the limits allow
    crashed     it crashed ffprobe, or needs more memory than the limits allow
    """

    reason: Literal["unreadable", "truncated", "missing", "timed_out", "crashed"]


Report = Media | ReadFailure


class TransientError(Exception):
    """Storage or this machine failed, so nothing is known about the file. The job is retried later.

    The message is for the operator's log and contains no URL.
    """
