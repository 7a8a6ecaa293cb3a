"""Fixtures: both supported ffprobes, a folder of samples, a storage server and an MP3 encoder."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assetdock_server.media.binary import Ffprobe, find, from_npm
from assetdock_server.media.sandbox.run import Limits
from tests.worker.storage import Storage, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", params=["debian", "npm"])
def ffprobe(request: pytest.FixtureRequest) -> Ffprobe:
    """Each ffprobe that the worker supports. Both are required, because they behave differently."""
    if request.param == "debian":
        path = shutil.which("ffprobe")
        assert path, "ffprobe is not on PATH. Run: apt-get install --no-install-recommends ffmpeg"
    else:
        path = str(from_npm(ROOT))
        assert Path(path).is_file(), "node_modules has no ffprobe. Run: make setup"
    return asyncio.run(find(ROOT, {"ASSETDOCK_FFPROBE": path}))


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of samples. Each test creates the samples that it needs."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture
def storage(media: Path) -> Iterator[Storage]:
    """A storage server that serves the samples."""
    with serving(media) as running:
        yield running


@pytest.fixture
def limits() -> Limits:
    """Short limits, so that a hanging program fails its test soon."""
    return Limits(seconds=20, measure_seconds=20, stall_seconds=5)


@pytest.fixture(scope="session")
def encode_mp3(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Encodes noise of varying volume as an MP3 of the given seconds. The arguments are options of ffmpeg."""
    folder = tmp_path_factory.mktemp("mp3")
    encoded: dict[tuple[int, tuple[str, ...]], bytes] = {}

    def encode(seconds: int, *arguments: str) -> bytes:
        if (seconds, arguments) not in encoded:
            path = folder / f"{len(encoded)}.mp3"
            noise = f"anoisesrc=sample_rate=44100:duration={seconds}:seed=7,volume='abs(sin(t/3))':eval=frame"
            command = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", noise, *arguments, str(path)]
            subprocess.run(command, check=True, timeout=240)
            encoded[seconds, arguments] = path.read_bytes()
        return encoded[seconds, arguments]

    return encode
