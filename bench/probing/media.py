"""Media files of common formats, made by ffmpeg, several megabytes each."""

import shutil
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from bench.installation import BenchError

TOLERANCE = Decimal("0.15")  # seconds: encoders add a few frames at the start or the end

# Noise, because silence compresses to almost nothing, and reading little of a tiny file proves nothing.
_SOUND = ("-f", "lavfi", "-i", "anoisesrc=sample_rate=44100:duration={seconds}:amplitude=0.3:seed=1")
_PICTURES = (
    *("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration={seconds},noise=alls=50:allf=t:all_seed=1"),
    *("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration={seconds}"),
)
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "50", "-b:v", "2M", "-c:a", "aac")
_VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16", "-g", "50", "-b:v", "2M", "-c:a", "libopus")


@dataclass(frozen=True)
class Kind:
    """One format. `seconds` is the default duration of its file."""

    name: str
    label: str
    content_type: str
    arguments: tuple[str, ...]
    seconds: int

    @property
    def asset_type(self) -> str:
        """The asset type of its reservation."""
        return self.content_type.partition("/")[0]


@dataclass(frozen=True)
class Media:
    """A generated file."""

    kind: Kind
    path: Path
    seconds: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.path.stat().st_size

    @property
    def fields(self) -> dict[str, str]:
        """The fields of its reservation, without the size."""
        return {"type": self.kind.asset_type, "content_type": self.kind.content_type, "filename": self.kind.name}

    def lasts(self, probed: Decimal | None) -> bool:
        """Whether a probed duration equals the file's, within TOLERANCE."""
        return probed is not None and abs(probed - self.seconds) <= TOLERANCE


KINDS = (
    Kind("xing.mp3", "MP3 with Xing header", "audio/mpeg", (*_SOUND, "-b:a", "192k"), 120),
    Kind("variable.mp3", "MP3 of a variable bit rate", "audio/mpeg", (*_SOUND, "-ac", "2", "-q:a", "2"), 120),
    Kind("no-xing.mp3", "MP3 without a header", "audio/mpeg", (*_SOUND, "-b:a", "192k", "-write_xing", "0"), 120),
    Kind("sound.wav", "WAV", "audio/wav", _SOUND, 120),
    Kind("sound.flac", "FLAC", "audio/flac", _SOUND, 120),
    Kind("sound.ogg", "Ogg Opus", "audio/ogg", (*_SOUND, "-c:a", "libopus", "-b:a", "192k"), 120),
    Kind("sound.m4a", "M4A (AAC)", "audio/mp4", (*_SOUND, "-c:a", "aac", "-b:a", "192k"), 120),
    Kind("moov-last.mp4", "MP4 (H.264), moov last", "video/mp4", (*_PICTURES, *_H264), 40),
    Kind("moov-first.mp4", "MP4 (H.264), moov first", "video/mp4", (*_PICTURES, *_H264, "-movflags", "faststart"), 40),
    Kind("film.mov", "QuickTime (H.264)", "video/quicktime", (*_PICTURES, *_H264), 40),
    Kind("film.mkv", "Matroska (H.264)", "video/x-matroska", (*_PICTURES, *_H264), 40),
    Kind("film.webm", "WebM (VP8, Opus)", "video/webm", (*_PICTURES, *_VP8), 40),
)


def make(folder: Path, times: int = 1) -> list[Media]:
    """Makes one file of each kind in `folder`, `times` as long as the default. Raises BenchError."""
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise BenchError("ffmpeg is needed to make media: apt-get install ffmpeg")
    folder.mkdir()
    made = [Media(kind, folder / kind.name, kind.seconds * times) for kind in KINDS]
    for media in made:
        arguments = [each.replace("{seconds}", str(media.seconds)) for each in media.kind.arguments]
        command = [ffmpeg, "-v", "error", "-nostdin", *arguments, str(media.path)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)
    return made
