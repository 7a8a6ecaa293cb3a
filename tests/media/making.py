"""Makes the inputs of the table, and decodes them for a reference."""

import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

Maker = Callable[[Path], object]
DATA = Path(__file__).parent / "data"
RATE = 48_000  # of the decoded sound


def run(*arguments: str) -> bytes:
    """Runs ffmpeg on one thread and returns what it writes to its standard output."""
    command = ["ffmpeg", "-y", "-v", "error", "-nostdin", "-threads", "1", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=240).stdout


def encoded(arguments: Sequence[str], seconds: float, *, channels: int = 1, picture: bool = False) -> Maker:
    """A tone, and a test pattern of 25 frames per second if `picture`."""

    def make(path: Path) -> None:
        tone = f"sine=frequency=440:sample_rate=44100:duration={seconds}"
        pattern = f"testsrc=size=160x120:rate=25:duration={seconds}"
        video = ["-f", "lavfi", "-i", pattern] if picture else []
        run(*video, "-f", "lavfi", "-i", tone, "-ac", str(channels), *arguments, str(path))

    return make


def trimmed(arguments: Sequence[str], seconds: float, from_second: float, *options: str) -> Maker:
    """A film cut at its start without encoding it again: an edit list hides what precedes `from_second`."""

    def make(path: Path) -> None:
        whole = path.with_name(f"{path.stem}-whole{path.suffix}")
        encoded(arguments, seconds, picture=True)(whole)
        run("-ss", str(from_second), "-i", str(whole), "-c", "copy", *options, str(path))

    return make


def late_video(arguments: Sequence[str], seconds: float, from_second: float) -> Maker:
    """Sound of `seconds`, and a picture from `from_second` to its end."""

    def make(path: Path) -> None:
        tone = f"sine=frequency=440:sample_rate=44100:duration={seconds}"
        pattern = f"testsrc=size=160x120:rate=25:duration={seconds - from_second}"
        late = ["-itsoffset", str(from_second), "-f", "lavfi", "-i", pattern]
        run("-f", "lavfi", "-i", tone, *late, *arguments, str(path))

    return make


def chained(arguments: Sequence[str], parts: Sequence[float], extension: str) -> Maker:
    """Files of sound, one after the other."""
    return _concatenated(arguments, parts, extension, picture=False)


def joined(arguments: Sequence[str], parts: Sequence[float], extension: str) -> Maker:
    """Files of video and sound, one after the other."""
    return _concatenated(arguments, parts, extension, picture=True)


def _concatenated(arguments: Sequence[str], parts: Sequence[float], extension: str, *, picture: bool) -> Maker:
    def make(path: Path) -> None:
        whole = b""
        for number, seconds in enumerate(parts):
            part = path.with_name(f"{path.stem}-part{number}.{extension}")
            encoded(arguments, seconds, picture=picture)(part)
            whole += part.read_bytes()
        path.write_bytes(whole)

    return make


def copied(name: str) -> Maker:
    """A file in data/."""
    return lambda path: shutil.copyfile(DATA / name, path)


def decoded_seconds(path: Path) -> float:
    """The seconds of sound that ffmpeg decodes from all of the file."""
    sound = run("-i", str(path), "-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-f", "s16le", "pipe:1")
    return len(sound) / 2 / RATE
