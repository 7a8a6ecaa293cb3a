"""The table of inputs: how each is made, what a player presents of it, and how that is known.

`python -m tests.media.rows` writes docs/media-table.md.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.media.making import Maker, chained, copied, encoded, joined, late_video, trimmed

DECODED = "full decode"  # ffmpeg decodes the file in the test, and the decoded samples and frames are counted
BUILT = "by construction"
FRAME = 1 / 25  # of the test's video


@dataclass(frozen=True)
class Row:
    """`right` is the seconds that a player presents, or the code of the failure. `known` says how that is known; for
    DECODED the test decodes the file, and `right` is only what the page shows. `within` is one frame, in seconds."""

    name: str
    how: str
    make: Maker
    right: float | str
    known: str
    within: float
    asset_type: str = "audio"
    check: Callable[[dict[str, object]], bool] | None = None  # of the asset's media


# Extension, codec, arguments, and the seconds of a frame.
SOUND = [
    ("m4a", "AAC", ("-c:a", "aac"), 1024 / 44100),
    ("m4a", "ALAC", ("-c:a", "alac"), 4096 / 44100),
    ("mov", "PCM", ("-c:a", "pcm_s16le"), 0.024),
    ("3gp", "AAC", ("-c:a", "aac"), 1024 / 44100),
    ("mka", "AAC", ("-c:a", "aac"), 2 * 1024 / 44100),
    ("mka", "FLAC", ("-c:a", "flac"), 4608 / 44100),
    ("webm", "Opus", ("-c:a", "libopus"), 0.02),
    ("webm", "Vorbis", ("-c:a", "libvorbis"), 0.025),
    ("mp3", "MP3", ("-c:a", "libmp3lame"), 1152 / 44100),
    ("mp2", "MP2", ("-c:a", "mp2"), 1152 / 44100),
    ("wav", "PCM", (), 0.001),
    ("wav", "PCM, 24 bits", ("-c:a", "pcm_s24le"), 0.001),
    ("wav", "PCM in RF64", ("-rf64", "always"), 0.001),
    ("w64", "PCM", (), 0.001),
    ("aiff", "PCM", (), 0.001),
    ("caf", "PCM", ("-c:a", "pcm_s16le"), 0.001),
    ("caf", "Opus", ("-c:a", "libopus"), 0.021),
    ("au", "PCM", (), 0.001),
    ("flac", "FLAC", (), 0.001),
    ("ogg", "Opus", ("-c:a", "libopus"), 0.02),
    ("ogg", "Vorbis", ("-c:a", "libvorbis"), 0.025),
    ("ogg", "FLAC", ("-c:a", "flac"), 4608 / 44100),
    ("aac", "AAC (ADTS)", ("-c:a", "aac"), 2 * 1024 / 44100),
    ("ac3", "AC-3", ("-c:a", "ac3"), 1536 / 44100),
    ("eac3", "E-AC-3", ("-c:a", "eac3"), 1536 / 44100),
    ("ts", "AAC", ("-c:a", "aac"), 2 * 1024 / 44100),
    ("wma", "WMA", (), 3 * 2048 / 44100),
]
LENGTHS = ((3.0, 1), (7.3, 2))  # seconds, channels
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac")
MPEG2 = ("-c:v", "mpeg2video", "-c:a", "mp2")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus")
FILMS = [
    ("mp4", "H.264 and AAC", H264, FRAME),
    ("mp4", "H.264 and AAC, index first", (*H264, "-movflags", "faststart"), FRAME),
    ("mp4", "H.264 and AAC, fragmented", (*H264, "-movflags", "frag_keyframe+empty_moov"), 2 * FRAME),
    ("mov", "H.264 and AAC", H264, FRAME),
    ("3gp", "H.264 and AAC", H264, FRAME),
    ("mkv", "H.264 and AAC", H264, 2 * FRAME),
    ("webm", "VP8 and Opus", VP8, FRAME),
    ("ts", "H.264 and AAC", H264, 2 * FRAME),
    ("mpg", "MPEG-2 and MP2", MPEG2, 2 * FRAME),
    ("avi", "MPEG-4 and MP3", ("-c:v", "mpeg4", "-c:a", "libmp3lame"), 2 * FRAME),
    ("wmv", "WMV and WMA", (), FRAME + 2 * 2048 / 44100),
    ("flv", "FLV and MP3", ("-c:v", "flv", "-c:a", "libmp3lame"), 2 * FRAME),
    ("ogv", "Theora and Vorbis", ("-c:v", "libtheora", "-c:a", "libvorbis"), 2 * FRAME),
]


def _ordinary() -> Iterator[Row]:
    for number, (extension, codec, arguments, frame) in enumerate(SOUND):
        for seconds, channels in LENGTHS:
            yield Row(
                f"sound-{number}-{channels}.{extension}",
                f"{codec} in .{extension}, {channels} channel{'s' * (channels > 1)}",
                encoded(arguments, seconds, channels=channels),
                seconds,
                DECODED,
                frame,
            )
    for number, (extension, codec, arguments, frame) in enumerate(FILMS):
        for seconds, channels in LENGTHS:
            yield Row(
                f"film-{number}-{channels}.{extension}",
                f"{codec} in .{extension}",
                encoded(arguments, seconds, channels=channels, picture=True),
                seconds,
                BUILT,
                frame,
                "video",
            )


def _chained() -> Iterator[Row]:
    for codec, frame in (("libopus", 0.02), ("libvorbis", 0.03), ("flac", 0.11)):
        for parts in ((4, 2), (2, 4), (2, 2), (1, 2, 3)):
            yield Row(
                f"chained-{codec}-{'-'.join(map(str, parts))}.ogg",
                f"Ogg ({codec}) of {' + '.join(map(str, parts))} s, chained",
                chained(("-c:a", codec), parts, "ogg"),
                float(sum(parts)),
                DECODED,
                frame * len(parts),
            )
    for extension, codecs in (("ts", H264), ("mpg", MPEG2)):
        for parts in ((4, 2), (2, 4), (3, 3), (2, 1, 3)):
            yield Row(
                f"joined-{'-'.join(map(str, parts))}.{extension}",
                f"MPEG (.{extension}) of {' + '.join(map(str, parts))} s, joined end to end",
                joined(codecs, parts, extension),
                float(sum(parts)),
                BUILT,
                2 * FRAME * len(parts),
                "video",
            )
    for extension in ("ts", "mpg"):
        yield Row(
            f"hour.{extension}",
            f"MPEG (.{extension}) whose clock starts at one hour",
            encoded((*(H264 if extension == "ts" else MPEG2), "-output_ts_offset", "3600"), 4, picture=True),
            4.0,
            BUILT,
            2 * FRAME,
            "video",
        )


def _edited() -> Iterator[Row]:
    for extension in ("mp4", "mov"):
        for start in (1.28, 2.48):
            yield Row(
                f"trimmed-{start}.{extension}",
                f"A film (.{extension}) of 6 s whose edit list begins at {start} s",
                trimmed(H264, 6, start),
                round(6 - start, 2),
                BUILT,
                2 * FRAME,
                "video",
            )
    yield Row(
        "trimmed-fragments.mp4",
        "A fragmented film (.mp4) of 6 s whose edit list begins at 1.28 s",
        trimmed(H264, 6, 1.28, "-movflags", "frag_keyframe+delay_moov"),
        4.72,
        BUILT,
        2 * FRAME,
        "video",
    )
    for extension in ("mp4", "mkv", "ts"):
        for start in (2, 11):
            yield Row(
                f"late-{start}.{extension}",
                f"Sound (.{extension}) with a picture from second {start} on",
                late_video(H264, start + 3, start),
                float(start + 3),
                BUILT,
                2 * FRAME,
                "video",
            )


def _rate_is_30(media: dict[str, object]) -> bool:
    streams = media["streams"]
    assert isinstance(streams, list)
    return any(29 < float(stream.get("frame_rate") or 0) < 31 for stream in streams)


def _kept() -> Iterator[Row]:
    edits = "MP4 with an edit list that shows"
    rows: list[tuple[str, str, float | str, str, float]] = [
        ("edit_trim_end.mp4", f"{edits} 2 s of 4", 2.0, "video", FRAME),
        ("iphone_trim.mp4", f"{edits} seconds 3 to 7 of 10", 4.0, "video", FRAME),
        ("two_edits.mp4", f"{edits} twice 2 s", 4.0, "video", FRAME),
        ("chained_long_short.ogg", "Two chained Opus streams, 4 s and 2 s", 6.0, "audio", 0.02),
        ("ogg_cropped_granule.ogg", "Opus whose first granule is an hour in", 4.0, "audio", 0.02),
        ("cat_long_short.mpegts", "Two transport streams, joined", 6.08, "video", 2 * FRAME),
        ("empty_audio_track.mp4", "MP4 whose sound has no samples, declared as audio", "no_media_stream", "audio", 0),
        ("avif_still.avif", "AVIF with one still picture", "no_media_stream", "video", 0),
    ]
    for name, how, right, asset_type, within in rows:
        yield Row(name, how, copied(name), right, BUILT, within, asset_type)
    name = "chrome_1000fps.webm"
    yield Row(name, "A recording of Chromium", copied(name), 3.0, BUILT, 0.04, "video", _rate_is_30)


ROWS = (*_ordinary(), *_chained(), *_edited(), *_kept())
PAGE = Path(__file__).parents[2] / "docs" / "media-table.md"


def page() -> str:
    """The page of the docs."""
    lines = [
        "# Media that Assetdock reads",
        "",
        "Each of these inputs is read by Debian's and npm's ffprobe, and must be exact within a frame of its codec or",
        "fail as stated. `tests/media/` makes them. The duration is what a player presents. A full decode counts the",
        "samples that ffmpeg decodes from the file. `python -m tests.media.rows` writes this page.",
        "",
        "| Input | Seconds, or the error | How it is known |",
        "| --- | --- | --- |",
        *(f"| {row.how} | {row.right} | {row.known} |" for row in ROWS),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
