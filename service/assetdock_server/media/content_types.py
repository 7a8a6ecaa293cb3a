"""Containers, their content types, and whether a declared type matches the bytes."""

# Canonical short name of a container → (content type with video, content type without).
CONTAINERS = {
    "mp4": ("video/mp4", "audio/mp4"),
    "mov": ("video/quicktime", "video/quicktime"),
    "3gp": ("video/3gpp", "audio/3gpp"),
    "webm": ("video/webm", "audio/webm"),
    "matroska": ("video/x-matroska", "audio/x-matroska"),
    "mp3": ("audio/mpeg", "audio/mpeg"),
    "wav": ("audio/wav", "audio/wav"),
    "w64": ("audio/x-w64", "audio/x-w64"),
    "aiff": ("audio/aiff", "audio/aiff"),
    "caf": ("audio/x-caf", "audio/x-caf"),
    "au": ("audio/basic", "audio/basic"),
    "flac": ("audio/flac", "audio/flac"),
    "ogg": ("video/ogg", "audio/ogg"),
    "aac": ("audio/aac", "audio/aac"),
    "ac3": ("audio/ac3", "audio/ac3"),
    "eac3": ("audio/eac3", "audio/eac3"),
    "dts": ("audio/vnd.dts", "audio/vnd.dts"),
    "amr": ("audio/amr", "audio/amr"),
    "mpegts": ("video/mp2t", "video/mp2t"),
    "mpeg": ("video/mpeg", "video/mpeg"),
    "avi": ("video/x-msvideo", "video/x-msvideo"),
    "asf": ("video/x-ms-wmv", "audio/x-ms-wma"),
    "flv": ("video/x-flv", "video/x-flv"),
    "srt": ("application/x-subrip", "application/x-subrip"),
}

# Containers → the content types that may name them. Types of one family are interchangeable: an .m4v renamed .mov
# plays everywhere, WebM is a profile of Matroska, and phones and MediaRecorder mix the names.
_ISO = {"mp4", "mov", "3gp"}
_MATROSKA = {"webm", "matroska"}
_NAMES = (
    (_ISO, "audio/mp4 video/mp4 application/mp4 video/quicktime audio/m4a audio/x-m4a audio/x-m4b"),
    (_ISO, "audio/mp4a-latm video/x-m4v audio/3gpp video/3gpp audio/3gpp2 video/3gpp2"),
    (_MATROSKA, "audio/webm video/webm audio/matroska video/matroska audio/x-matroska video/x-matroska"),
    ({"mp3"}, "audio/mpeg audio/mp3 audio/x-mp3 audio/mpeg3 audio/x-mpeg-3 audio/x-mpeg audio/mpg audio/mpa"),
    ({"wav", "w64"}, "audio/wav audio/wave audio/x-wav audio/vnd.wave audio/x-pn-wav audio/x-w64"),
    ({"aiff"}, "audio/aiff audio/x-aiff"),
    ({"caf"}, "audio/caf audio/x-caf"),
    ({"au"}, "audio/basic audio/au audio/x-au"),
    ({"flac", "ogg"}, "audio/flac audio/x-flac"),  # Ogg can contain FLAC
    ({"ogg"}, "audio/ogg video/ogg application/ogg audio/x-ogg"),
    ({"ogg", *_MATROSKA}, "audio/opus audio/vorbis audio/x-vorbis audio/x-vorbis+ogg"),
    ({"aac", *_ISO}, "audio/aac audio/aacp audio/x-aac audio/x-hx-aac-adts"),
    ({"ac3", "eac3"}, "audio/ac3 audio/x-ac3 audio/eac3"),
    ({"dts"}, "audio/vnd.dts audio/vnd.dts.hd"),
    ({"amr", "3gp"}, "audio/amr audio/amr-wb"),
    ({"mpegts"}, "video/mp2t video/vnd.dlna.mpeg-tts"),
    ({"mpeg", "mpegts"}, "video/mpeg video/mp2p video/x-mpeg"),
    ({"avi"}, "video/x-msvideo video/avi video/msvideo video/vnd.avi"),
    ({"asf"}, "video/x-ms-wmv video/x-ms-asf audio/x-ms-wma application/vnd.ms-asf"),
    ({"flv"}, "video/x-flv audio/x-flv"),
    ({"srt"}, "application/x-subrip application/srt application/x-srt"),
    ({"srt"}, "text/srt text/x-srt text/x-subrip text/plain"),
)
_CONTAINERS_OF = {name: containers for containers, names in _NAMES for name in names.split()}
_UNSPECIFIC = {"", "application/octet-stream", "binary/octet-stream"}


def detected(container: str, *, has_video: bool) -> str:
    """The content type of a container in `CONTAINERS`."""
    return CONTAINERS[container][0 if has_video else 1]


def is_one_of(declared: str | None, containers: set[str]) -> bool:
    """Whether a declared content type names only containers in `containers`."""
    named = _CONTAINERS_OF.get(_name(declared or ""), set())
    return bool(named) and named <= containers


def agrees(declared: str, container: str) -> bool:
    """Whether `declared` may name this container. Parameters and letter case are ignored.

    Any type of the container's family matches: `audio/mp4` or `video/quicktime` for an MP4 with video. An unknown
    `audio/` or `video/` type matches as well, any other unknown type (`text/html`) does not.
    """
    name = _name(declared)
    if name in _UNSPECIFIC:
        return True
    if name in _CONTAINERS_OF:
        return container in _CONTAINERS_OF[name]
    return name.startswith(("audio/", "video/")) and container != "srt"


def _name(declared: str) -> str:
    return declared.partition(";")[0].strip().lower()
