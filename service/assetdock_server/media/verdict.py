"""Decides what a probe means for the asset."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from assetdock_server.media.content_types import agrees
from assetdock_server.media.report import JSON, Media, Report, Unread

AssetType = Literal["audio", "video", "rendered_video", "cut_file"]
ErrorCode = Literal[
    "unreadable_media",
    "no_media_stream",
    "type_mismatch",
    "content_type_mismatch",
    "checksum_mismatch",
    "probe_timeout",
    "probe_crashed",
    "bytes_missing",
]
LONGEST = Decimal(366 * 24 * 3600)  # seconds: a claim beyond a year is a forged time stamp


@dataclass(frozen=True)
class Ready:
    """The asset is what it was reserved as."""

    duration: Decimal  # seconds, three places
    content_type: str  # what the bytes are
    media: JSON  # the asset's `media` object


@dataclass(frozen=True)
class Failed:
    """The asset can't be used. `message` is for whoever uploaded it: what happened, and what to do."""

    code: ErrorCode
    message: str


UNREADABLE = Failed(
    "unreadable_media",
    "The file is damaged, empty or of a format that isn't accepted. "
    "Check that it plays, then upload it as a new asset.",
)
UNREADABLE_CUTS = Failed(
    "unreadable_media",
    "The file isn't SubRip text with at least one cue. Export it as .srt and upload it as a new asset.",
)
NOT_READ = {
    "cut_off": Failed(
        "unreadable_media",
        "The file ends before it is complete: its end was lost on the way, or whatever wrote it was interrupted. "
        "Check that it plays to its end, or export it again, then upload it as a new asset.",
    ),
    "missing": Failed("bytes_missing", "The uploaded file is no longer in storage. Upload it as a new asset."),
    "timed_out": Failed(
        "probe_timeout",
        "Reading the file took too long. Re-encode it, for example as MP4 or MP3, and upload it as a new asset.",
    ),
    "crashed": Failed(
        "probe_crashed",
        "The file broke the program that reads it. Re-encode it and upload it as a new asset.",
    ),
}
OTHER_BYTES = Failed(
    "checksum_mismatch",
    "The bytes that arrived are not those whose SHA-256 was given. Check the file, then upload it as a new asset.",
)
SOUND_OR_PICTURES = ("audio", "video")


def judge(asset_type: AssetType, report: Report, declared: str | None = None) -> Ready | Failed:
    """Whether what was read off the bytes fits the asset's type and, if one was declared, its content type.

    An `audio` asset may have a video stream: phones and MediaRecorder wrap sound in video files, the sound is
    there and its duration is true. A `video` without pictures is refused, because whoever plays it expects to
    see something.
    """
    if isinstance(report, Unread):
        if report.reason == "unreadable":
            return UNREADABLE_CUTS if asset_type == "cut_file" else UNREADABLE
        return NOT_READ[report.reason]
    failure = _wrong_kind(asset_type, report) or _wrong_name(report, declared)
    if failure:
        return failure
    if report.duration is None or report.duration > LONGEST:
        return UNREADABLE_CUTS if asset_type == "cut_file" else UNREADABLE
    return Ready(report.duration, report.content_type, report.as_json())


def _wrong_kind(asset_type: AssetType, media: Media) -> Failed | None:
    if asset_type == "cut_file":
        if media.container == "srt":
            return None
        return Failed("type_mismatch", "A cut file is SubRip text, and this is something else. Upload an .srt file.")
    if not (media.has("audio") or media.has("video")):
        return Failed(
            "no_media_stream",
            "The file holds neither sound nor pictures. Upload one that does, as a new asset.",
        )
    if asset_type == "audio" and not media.has("audio"):
        return Failed(
            "no_media_stream",
            "The file holds no sound. Upload one that does, or create the asset as a video.",
        )
    if asset_type != "audio" and not media.has("video"):
        return Failed(
            "type_mismatch",
            "The file holds sound but no video. Create the asset as audio and upload it there.",
        )
    return None


def _wrong_name(media: Media, declared: str | None) -> Failed | None:
    if declared is None or agrees(declared, media.container):
        return None
    return Failed(
        "content_type_mismatch",
        f"The file is {media.content_type}, not what its declared content type says. "
        "Create a new asset with that type.",
    )
