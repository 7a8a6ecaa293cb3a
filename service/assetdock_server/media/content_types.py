"""Containers, their media types, and whether a declared type is of the same kind as the bytes."""

from assetdock_server.media.containers import CONTAINERS as LIST

CONTAINERS = {each.name: each for each in LIST}
# What ffprobe may open, and our name for it. The containers of the MP4 family share a demuxer, and so do Matroska and
# WebM: there it is the name of the first.
BY_DEMUXER = {demuxer: each.name for each in reversed(LIST) for demuxer in each.demuxers}
UNSPECIFIC = {"", "application/octet-stream", "binary/octet-stream"}


def detected(container: str, *, has_video: bool) -> str:
    """The content type of a container in `CONTAINERS`."""
    found = CONTAINERS[container]
    return found.video_media_type if has_video and found.video_media_type else found.media_type


def media_type(declared: str) -> str:
    """The type and subtype, in lower case, without parameters."""
    return declared.partition(";")[0].strip(" \t").lower()


def named_by(declared: str) -> set[str]:
    """The containers for which a declared content type can stand."""
    name = media_type(declared)
    return {each.name for each in LIST if name in (each.media_type, each.video_media_type, *each.aliases)}


def is_one_of(declared: str | None, containers: set[str]) -> bool:
    """Whether a declared content type names only containers in `containers`."""
    named = named_by(declared or "")
    return bool(named) and named <= containers


def is_same_kind(declared: str, container: str, *, has_audio: bool) -> bool:
    """Whether the bytes are of the kind that was declared: media, or subtitles. An `audio/` type promises sound.

    Another type of the same kind is no contradiction: phones and desktops give an M4A as `audio/mpeg`, and
    MediaRecorder puts sound into `video/webm`.
    """
    name = media_type(declared)
    if name in UNSPECIFIC:
        return True
    kinds = {CONTAINERS[each].kind for each in named_by(declared)}
    return CONTAINERS[container].kind in kinds and (has_audio or not name.startswith("audio/"))
