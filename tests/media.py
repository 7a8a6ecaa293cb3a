"""Sample media, encoded by ffmpeg at first use.

Every sample lasts SECONDS. Audio is 44.1 kHz mono, video 320 x 240 at 30000/1001 frames per second.
"""

import shutil
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path

SECONDS = 12  # longer than the tail that the worker checks, so that the check must seek
AAC_FRAME = 1024 / 44100
MP3_FRAME = 1152 / 44100
OPUS_FRAME = 0.02
PICTURE = 1001 / 30000
# In a container that cannot hide encoder priming, the priming frame comes before the first picture.
PRIMED = PICTURE + AAC_FRAME

_SOUND = ["-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=44100:duration={SECONDS}"]
# A loud start and a quiet end: the bit rate varies, so an estimate from the bit rate is wrong.
_UNEVEN = [
    *("-f", "lavfi", "-i", f"anoisesrc=sample_rate=44100:duration={SECONDS / 3}"),
    *("-f", "lavfi", "-i", f"anullsrc=sample_rate=44100:channel_layout=mono:duration={SECONDS * 2 / 3}"),
    *("-filter_complex", "[0][1]concat=n=2:v=0:a=1"),
]
_PICTURES = ["-f", "lavfi", "-i", f"testsrc=size=320x240:rate=30000/1001:duration={SECONDS}"]
_H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-pix_fmt", "yuv420p"]
_VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "200k"]


@dataclass(frozen=True)
class Sample:
    """How ffmpeg makes a file, and the expected result of its probe."""

    name: str
    arguments: list[str]
    container: str
    content_type: str
    kinds: tuple[str, ...]
    frame: float  # seconds per packet, the precision of the duration
    piped: bool = False  # written to a pipe, so the muxer cannot fill in sizes and durations


_BOTH = ("video", "audio")
_AV = [*_PICTURES, *_SOUND, *_H264, "-c:a", "aac"]
_WEBM = [*_PICTURES, *_SOUND, *_VP8, "-c:a", "libopus"]
SAMPLES = {
    sample.name: sample
    for sample in (
        Sample("moov-last.mp4", _AV, "mp4", "video/mp4", _BOTH, PICTURE),
        Sample("moov-first.mp4", [*_AV, "-movflags", "faststart"], "mp4", "video/mp4", _BOTH, PICTURE),
        Sample(
            "fragments.mp4",
            [*_AV, "-movflags", "frag_keyframe+empty_moov"],
            "mp4",
            "video/mp4",
            _BOTH,
            PRIMED,
        ),
        Sample("sound.m4a", [*_SOUND, "-c:a", "aac"], "mp4", "audio/mp4", ("audio",), AAC_FRAME),
        Sample("film.mov", _AV, "mov", "video/quicktime", _BOTH, PICTURE),
        Sample("film.3gp", [*_AV, "-f", "3gp"], "3gp", "video/3gpp", _BOTH, PICTURE),
        Sample("film.mkv", _AV, "matroska", "video/x-matroska", _BOTH, PRIMED),
        Sample(
            "late.mkv",
            ["-itsoffset", "3", *_PICTURES, *_H264, "-copyts"],
            "matroska",
            "video/x-matroska",
            ("video",),
            PICTURE,
        ),
        Sample(
            "late.mp4",
            ["-itsoffset", "3", *_PICTURES, *_H264, "-copyts"],
            "mp4",
            "video/mp4",
            ("video",),
            PICTURE,
        ),
        Sample("live.mkv", [*_AV, "-f", "matroska"], "matroska", "video/x-matroska", _BOTH, PRIMED, piped=True),
        Sample("film.webm", _WEBM, "webm", "video/webm", _BOTH, PICTURE),
        Sample(
            "recorded.webm",
            [*_WEBM, "-f", "webm", "-live", "1"],
            "webm",
            "video/webm",
            _BOTH,
            PICTURE,
            piped=True,
        ),
        Sample("sound.webm", [*_SOUND, "-c:a", "libopus"], "webm", "audio/webm", ("audio",), OPUS_FRAME),
        Sample("constant.mp3", _SOUND, "mp3", "audio/mpeg", ("audio",), MP3_FRAME),
        Sample("variable.mp3", [*_UNEVEN, "-q:a", "4"], "mp3", "audio/mpeg", ("audio",), MP3_FRAME),
        Sample(
            "constant-no-xing.mp3",
            [*_SOUND, "-write_xing", "0"],
            "mp3",
            "audio/mpeg",
            ("audio",),
            3 * MP3_FRAME,
        ),
        Sample(
            "variable-no-xing.mp3",
            [*_UNEVEN, "-q:a", "4", "-write_xing", "0"],
            "mp3",
            "audio/mpeg",
            ("audio",),
            3 * MP3_FRAME,  # without Xing the padding is unknown
        ),
        Sample(
            "cover.mp3",
            [
                *_SOUND,
                *("-f", "lavfi", "-i", "color=red:size=64x64:rate=25:duration=0.04", "-c:v", "mjpeg"),
                *("-map", "0:a", "-map", "1:v", "-disposition:v", "attached_pic"),
            ],
            "mp3",
            "audio/mpeg",
            ("audio", "data"),
            MP3_FRAME,
        ),
        Sample("sound.wav", _SOUND, "wav", "audio/wav", ("audio",), 0.001),
        Sample("piped.wav", [*_SOUND, "-f", "wav"], "wav", "audio/wav", ("audio",), 0.001, piped=True),
        Sample("sound.aiff", _SOUND, "aiff", "audio/aiff", ("audio",), 0.001),
        Sample("sound.flac", _SOUND, "flac", "audio/flac", ("audio",), 0.001),
        Sample("piped.flac", [*_SOUND, "-f", "flac"], "flac", "audio/flac", ("audio",), 0.001, piped=True),
        Sample("sound.ogg", [*_SOUND, "-c:a", "libopus"], "ogg", "audio/ogg", ("audio",), OPUS_FRAME),
        Sample("sound.aac", [*_UNEVEN, "-c:a", "aac"], "aac", "audio/aac", ("audio",), 2 * AAC_FRAME),
        Sample("sound.ac3", [*_SOUND, "-c:a", "ac3"], "ac3", "audio/ac3", ("audio",), 1536 / 44100),
        Sample("film.ts", _AV, "mpegts", "video/mp2t", _BOTH, PRIMED),
        Sample("film.mpg", [*_PICTURES, *_SOUND, "-c:v", "mpeg2video"], "mpeg", "video/mpeg", _BOTH, PICTURE),
        Sample(
            "film.avi",
            [*_PICTURES, *_SOUND, "-c:v", "mpeg4", "-c:a", "mp3"],
            "avi",
            "video/x-msvideo",
            _BOTH,
            2 * PICTURE,
        ),
        Sample("film.wmv", [*_PICTURES, *_SOUND], "asf", "video/x-ms-wmv", _BOTH, PICTURE + 2 * 2048 / 44100),
        Sample(
            "film.flv",
            [*_PICTURES, *_SOUND, "-c:v", "flv", "-c:a", "mp3"],
            "flv",
            "video/x-flv",
            _BOTH,
            2 * PICTURE,
        ),
    )
}
SUBRIP = "1\n00:00:01,000 --> 00:00:02,500\nFirst\n\n2\n00:00:05,000 --> 00:00:09,500\nLast\n"  # ends at 9.5 s


def make(name: str, folder: Path) -> Path:
    """Returns the sample of that name in `folder`, and makes it if it is missing."""
    path = folder / name
    if path.exists():
        return path
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg, "ffmpeg is needed to make test media: apt-get install --no-install-recommends ffmpeg"
    sample = SAMPLES[name]
    command = [ffmpeg, "-v", "error", "-nostdin", "-threads", "1", *sample.arguments]
    if sample.piped:
        made = subprocess.run([*command, "pipe:1"], check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        path.write_bytes(made.stdout)
    else:
        subprocess.run([*command, str(path)], check=True, stdin=subprocess.DEVNULL, timeout=60)
    return path


def silence(path: Path, seconds: int, rate: int = 8000) -> Path:
    """Writes a WAV of 16-bit mono silence without ffmpeg."""
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(2 * rate * seconds))
    return path


def with_long_titles(folder: Path, name: str) -> Path:
    """An .mp4 or .mkv with SECONDS of video and a minute of titles: its header claims a minute."""
    path = folder / name
    film, titles = make("moov-first.mp4", folder), folder / "long.srt"
    titles.write_text("1\n00:00:01,000 --> 00:01:00,000\nThe end\n")
    codec = "mov_text" if path.suffix == ".mp4" else "srt"
    joined = ["ffmpeg", "-y", "-v", "error", "-nostdin", "-i", str(film), "-i", str(titles), "-c", "copy"]
    subprocess.run([*joined, "-c:s", codec, str(path)], check=True, timeout=60)
    return path
