"""Sample media that ffmpeg encodes at first use.

Every sample lasts SECONDS. Audio is 44.1 kHz mono, video 320 x 240 at 30000/1001 frames per second.
"""

import shutil
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

SECONDS = 12  # longer than the tail that the worker reads, so that the worker must seek
AAC_FRAME = 1024 / 44100
MP3_FRAME = 1152 / 44100
OPUS_FRAME = 0.02
VIDEO_FRAME = 1001 / 30000
# Some containers cannot hide encoder priming: their audio begins one frame before the video.
FRAME_AND_PRIMING = VIDEO_FRAME + AAC_FRAME

_AUDIO = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={SECONDS}"]
# A loud start and a quiet end: an estimate from the bit rate of the start is wrong.
_LOUD_THEN_QUIET = [
    *("-f", "lavfi", "-i", f"anoisesrc=sample_rate=44100:duration={SECONDS / 3}"),
    *("-f", "lavfi", "-i", f"anullsrc=sample_rate=44100:channel_layout=mono:duration={SECONDS * 2 / 3}"),
    *("-filter_complex", "[0][1]concat=n=2:v=0:a=1"),
]
_VIDEO = ["-f", "lavfi", "-i", f"testsrc=size=320x240:rate=30000/1001:duration={SECONDS}"]
_H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-pix_fmt", "yuv420p"]
_VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k"]


@dataclass(frozen=True)
class Sample:
    """The ffmpeg arguments that make a file, and the expected result of its probe."""

    name: str
    arguments: list[str]
    container: str
    content_type: str
    kinds: tuple[str, ...]
    frame: float  # seconds per packet, the precision of the duration
    piped: bool = False  # ffmpeg writes to a pipe, so it cannot go back and write sizes and durations


_AV = ("video", "audio")
_MP4 = [*_VIDEO, *_AUDIO, *_H264, "-c:a", "aac"]
_WEBM = [*_VIDEO, *_AUDIO, *_VP8, "-c:a", "libopus"]
SAMPLES = {
    sample.name: sample
    for sample in (
        Sample("moov-last.mp4", _MP4, "mp4", "video/mp4", _AV, VIDEO_FRAME),
        Sample("moov-first.mp4", [*_MP4, "-movflags", "faststart"], "mp4", "video/mp4", _AV, VIDEO_FRAME),
        Sample(
            "fragments.mp4",
            [*_MP4, "-movflags", "frag_keyframe+empty_moov"],
            "mp4",
            "video/mp4",
            _AV,
            FRAME_AND_PRIMING,
        ),
        Sample("sound.m4a", [*_AUDIO, "-c:a", "aac"], "mp4", "audio/mp4", ("audio",), AAC_FRAME),
        Sample("film.mov", _MP4, "mov", "video/quicktime", _AV, VIDEO_FRAME),
        Sample("film.3gp", [*_MP4, "-f", "3gp"], "3gp", "video/3gpp", _AV, VIDEO_FRAME),
        Sample("film.mkv", _MP4, "matroska", "video/x-matroska", _AV, FRAME_AND_PRIMING),
        Sample(
            "late.mkv",
            ["-itsoffset", "3", *_VIDEO, *_H264, "-copyts"],
            "matroska",
            "video/x-matroska",
            ("video",),
            VIDEO_FRAME,
        ),
        Sample(
            "late.mp4",
            ["-itsoffset", "3", *_VIDEO, *_H264, "-copyts"],
            "mp4",
            "video/mp4",
            ("video",),
            VIDEO_FRAME,
        ),
        Sample(
            "live.mkv",
            [*_MP4, "-f", "matroska"],
            "matroska",
            "video/x-matroska",
            _AV,
            FRAME_AND_PRIMING,
            piped=True,
        ),
        Sample("film.webm", _WEBM, "webm", "video/webm", _AV, VIDEO_FRAME),
        Sample(
            "recorded.webm",
            [*_WEBM, "-f", "webm", "-live", "1"],
            "webm",
            "video/webm",
            _AV,
            VIDEO_FRAME,
            piped=True,
        ),
        Sample("sound.webm", [*_AUDIO, "-c:a", "libopus"], "webm", "audio/webm", ("audio",), OPUS_FRAME),
        Sample("constant.mp3", _AUDIO, "mp3", "audio/mpeg", ("audio",), MP3_FRAME),
        Sample("variable.mp3", [*_LOUD_THEN_QUIET, "-q:a", "4"], "mp3", "audio/mpeg", ("audio",), MP3_FRAME),
        Sample(
            "constant-no-xing.mp3",
            [*_AUDIO, "-write_xing", "0"],
            "mp3",
            "audio/mpeg",
            ("audio",),
            3 * MP3_FRAME,
        ),
        Sample(
            "variable-no-xing.mp3",
            [*_LOUD_THEN_QUIET, "-q:a", "4", "-write_xing", "0"],
            "mp3",
            "audio/mpeg",
            ("audio",),
            3 * MP3_FRAME,  # without a Xing header the padding is unknown
        ),
        Sample(
            "cover.mp3",
            [
                *_AUDIO,
                *("-f", "lavfi", "-i", "color=red:size=64x64:rate=25:duration=0.04", "-c:v", "mjpeg"),
                *("-map", "0:a", "-map", "1:v", "-disposition:v", "attached_pic"),
            ],
            "mp3",
            "audio/mpeg",
            ("audio", "data"),
            MP3_FRAME,
        ),
        Sample("sound.wav", _AUDIO, "wav", "audio/wav", ("audio",), 0.001),
        Sample("piped.wav", [*_AUDIO, "-f", "wav"], "wav", "audio/wav", ("audio",), 0.001, piped=True),
        Sample("sound.aiff", _AUDIO, "aiff", "audio/aiff", ("audio",), 0.001),
        Sample("sound.caf", [*_AUDIO, "-c:a", "libopus"], "caf", "audio/x-caf", ("audio",), OPUS_FRAME),
        Sample("voice.3gp", [*_AUDIO, "-c:a", "aac", "-f", "3gp"], "3gp", "audio/3gpp", ("audio",), AAC_FRAME),
        Sample("sound.flac", _AUDIO, "flac", "audio/flac", ("audio",), 0.001),
        Sample("piped.flac", [*_AUDIO, "-f", "flac"], "flac", "audio/flac", ("audio",), 0.001, piped=True),
        Sample("sound.ogg", [*_AUDIO, "-c:a", "libopus"], "ogg", "audio/ogg", ("audio",), OPUS_FRAME),
        Sample("sound.aac", [*_LOUD_THEN_QUIET, "-c:a", "aac"], "aac", "audio/aac", ("audio",), 2 * AAC_FRAME),
        Sample("sound.ac3", [*_AUDIO, "-c:a", "ac3"], "ac3", "audio/ac3", ("audio",), 1536 / 44100),
        Sample("film.ts", _MP4, "mpegts", "video/mp2t", _AV, FRAME_AND_PRIMING),
        Sample("film.mpg", [*_VIDEO, *_AUDIO, "-c:v", "mpeg2video"], "mpeg", "video/mpeg", _AV, VIDEO_FRAME),
        Sample(
            "film.avi",
            [*_VIDEO, *_AUDIO, "-c:v", "mpeg4", "-c:a", "mp3"],
            "avi",
            "video/x-msvideo",
            _AV,
            2 * VIDEO_FRAME,
        ),
        Sample("sound.wma", _AUDIO, "asf", "audio/x-ms-wma", ("audio",), 2048 / 44100 * 3),
        Sample("film.wmv", [*_VIDEO, *_AUDIO], "asf", "video/x-ms-wmv", _AV, VIDEO_FRAME + 2 * 2048 / 44100),
        Sample(
            "film.flv",
            [*_VIDEO, *_AUDIO, "-c:v", "flv", "-c:a", "mp3"],
            "flv",
            "video/x-flv",
            _AV,
            2 * VIDEO_FRAME,
        ),
    )
}
SUBRIP = "1\n00:00:01,000 --> 00:00:02,500\nFirst\n\n2\n00:00:05,000 --> 00:00:09,500\nLast\n"  # ends at 9.5 s


def make(name: str, folder: Path) -> Path:
    """The path of a sample in `folder`. Encodes the sample if it is missing."""
    path = folder / name
    if path.exists():
        return path
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg, "ffmpeg is needed to make test media: apt-get install --no-install-recommends ffmpeg"
    sample = SAMPLES[name]
    command = [ffmpeg, "-v", "error", "-nostdin", "-threads", "1", *sample.arguments]
    if sample.piped:
        encoded = subprocess.run([*command, "pipe:1"], check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        path.write_bytes(encoded.stdout)
    else:
        subprocess.run([*command, str(path)], check=True, stdin=subprocess.DEVNULL, timeout=240)
    return path


def silence(path: Path, seconds: int, rate: int = 8000) -> Path:
    """Writes a WAV of 16-bit mono silence, `rate` in hertz, without ffmpeg."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * rate * seconds))
    return path


def with_long_subtitles(folder: Path, name: str) -> Path:
    """Makes an .mp4 or .mkv with SECONDS of video and subtitles of one minute. Its header claims one minute."""
    path = folder / name
    film, subtitles = make("moov-first.mp4", folder), folder / "long.srt"
    subtitles.write_text("1\n00:00:01,000 --> 00:01:00,000\nThe end\n")
    codec = "mov_text" if path.suffix == ".mp4" else "srt"
    command = ["ffmpeg", "-y", "-v", "error", "-nostdin", "-i", str(film), "-i", str(subtitles), "-c", "copy"]
    subprocess.run([*command, "-c:s", codec, str(path)], check=True, timeout=240)
    return path
