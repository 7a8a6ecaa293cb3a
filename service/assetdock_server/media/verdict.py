"""Decides from a probe's report whether an asset is ready or failed."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from assetdock_server.media.content_types import is_same_kind
from assetdock_server.media.report import JSON, Media, ReadFailure, Report

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
MAX_DURATION = Decimal(366 * 24 * 3600)  # seconds: more than a year is a forged time stamp


@dataclass(frozen=True)
class Ready:
    """The file matches its reservation."""

    duration: Decimal  # seconds, three places
    content_type: str  # detected from the bytes
    media: JSON  # the asset's `media` object


@dataclass(frozen=True)
class Failed:
    """The asset is unusable. `message` tells the uploader what happened and what to do."""

    code: ErrorCode
    message: str


UNREADABLE = Failed(
    "unreadable_media",
    "The file is damaged, empty, or in a format that is not accepted. "
    "Check that it plays, then upload it as a new asset.",
)
UNREADABLE_CUTS = Failed(
    "unreadable_media",
    "The file is not SubRip text with at least one cue. Export it as .srt and upload it as a new asset.",
)
READ_FAILURES = {
    "truncated": Failed(
        "unreadable_media",
        "The file is incomplete: its end was lost during the upload, or the program that wrote it was interrupted. "
        "Check that it plays to the end, or export it again, then upload it as a new asset.",
    ),
    "missing": Failed("bytes_missing", "The uploaded file is no longer in storage. Upload it as a new asset."),
    "timed_out": Failed(
        "probe_timeout",
        "Reading the file took too long. Re-encode it, for example as MP4 or MP3, and upload it as a new asset.",
    ),
    "crashed": Failed(
        "probe_crashed",
        "The file crashed the program that reads it. Re-encode it and upload it as a new asset.",
    ),
}
CHECKSUM_MISMATCH = Failed(
    "checksum_mismatch",
    "The SHA-256 of the uploaded bytes differs from the reserved one. Check the file, then upload it as a new asset.",
)


def judge(asset_type: AssetType, report: Report, declared: str | None = None) -> Ready | Failed:
    """Compares the report with the asset's type and with its declared content type, if any.

    An `audio` asset may have a video stream: phones and MediaRecorder put sound into video files. A `video` asset needs
    a video stream, because viewers expect a picture. A wrong content type of the same kind is corrected, not rejected.
    """
    if isinstance(report, ReadFailure):
        if report.reason == "unreadable":
            return UNREADABLE_CUTS if asset_type == "cut_file" else UNREADABLE
        return READ_FAILURES[report.reason]
    failure = _type_mismatch(asset_type, report) or _content_type_mismatch(report, declared)
    if failure:
        return failure
    if report.duration is None or report.duration > MAX_DURATION:
        return UNREADABLE_CUTS if asset_type == "cut_file" else UNREADABLE
    return Ready(report.duration, report.content_type, report.as_json())


def _type_mismatch(asset_type: AssetType, media: Media) -> Failed | None:
    if asset_type == "cut_file":
        if media.container == "srt":
            return None
        return Failed("type_mismatch", "A cut file must be SubRip text; this file is not. Upload an .srt file.")
    if not (media.has("audio") or media.has("video")):
        return Failed(
            "no_media_stream",
            "The file contains neither sound nor video. Upload a file that does as a new asset.",
        )
    if asset_type == "audio" and not media.has("audio"):
        return Failed(
            "no_media_stream",
            "The file contains no sound. Upload a file with sound, or create the asset as a video.",
        )
    if asset_type != "audio" and not media.has("video"):
        return Failed(
            "type_mismatch",
            "The file contains sound but no video. Create a new asset of type audio and upload the file there.",
        )
    return None


def _content_type_mismatch(media: Media, declared: str | None) -> Failed | None:
    if declared is None or is_same_kind(declared, media.container, has_audio=media.has("audio")):
        return None
    return Failed(
        "content_type_mismatch",
        f"The file is {media.content_type}, but it was declared as {declared}. Create a new asset with the right "
        "content type.",
    )
