"""Hostile and broken files, from the upload to the failed asset: each fails with its error code, in bounded time."""

import hashlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bomb import bomb
from tests.callers import Caller
from tests.faults.site import Site
from tests.media import SAMPLES, make
from tests.polling import until
from tests.tone import tone
from tests.worker.storage import serving

MAX_SECONDS = 20.0  # seconds from landing to failed, on a busy machine
PROBE_SECONDS = 2


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture
def land_failing(site: Site, running_worker: None, owner: Caller) -> Callable[..., str]:
    """Uploads a file and returns the error_code with which its asset fails, in bounded time."""

    def land(data: bytes, content_type: str = "video/mp4", **fields: str) -> str:
        started = time.monotonic()
        asset_id = owner.land(data, **{"type": "video", "content_type": content_type, **fields})
        asset = owner.wait_until_finished(asset_id)
        assert time.monotonic() - started < MAX_SECONDS
        assert asset["state"] == "failed", asset
        assert asset["error_message"]
        assert asset["download_url"] is None
        assert site.rows("select attempts from assetdock_private.jobs where asset_id = %s", asset_id) == [(1,)]
        return str(asset["error_code"])

    return land


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "0 bytes": (lambda: b"", "unreadable_media"),
    "1 byte": (lambda: b"\0", "unreadable_media"),
    "random bytes": (lambda: random.Random(4).randbytes(200_000), "unreadable_media"),  # noqa: S311
    "a decompression bomb": (bomb, "probe_crashed"),
}


@pytest.mark.parametrize(("data", "code"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_not_media_fails(land_failing: Callable[..., str], data: Callable[[], bytes], code: str) -> None:
    assert land_failing(data()) == code


@pytest.mark.parametrize("target", ["a local file", "a loopback listener"])
@pytest.mark.parametrize(
    "text",
    ["#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{url}'\n"],
    ids=["HLS", "concat"],
)
def test_a_playlist_named_mp4_makes_ffprobe_open_no_other_file_or_url(
    land_failing: Callable[..., str], media: Path, text: str, target: str
) -> None:
    secret = make("moov-first.mp4", media)
    with serving(media) as listener:
        url = secret.as_uri() if target == "a local file" else listener.url(secret.name)

        assert land_failing(text.format(url=url).encode(), filename="film.mp4") == "unreadable_media"

        assert listener.requests == []


@pytest.mark.parametrize("name", ["recorded.webm", "live.mkv", "fragments.mp4", "constant-no-xing.mp3", "film.avi"])
def test_a_truncated_file_of_a_format_without_a_length_fails_by_its_checksum(
    land_failing: Callable[..., str], media: Path, name: str
) -> None:
    """Without a reserved checksum or size, it would be a shorter recording that is ready."""
    whole, sample = make(name, media).read_bytes(), SAMPLES[name]
    kind = sample.content_type.split("/")[0]

    code = land_failing(
        whole[: len(whole) * 2 // 3], sample.content_type, type=kind, sha256=hashlib.sha256(whole).hexdigest()
    )

    assert code == "checksum_mismatch"


@pytest.mark.parametrize(
    "name",
    [
        *("moov-last.mp4", "moov-first.mp4", "film.mkv", "film.webm", "constant.mp3", "variable.mp3"),
        *("sound.wav", "sound.aiff", "sound.ogg", "sound.flac"),
    ],
)
def test_a_truncated_file_of_a_format_with_a_length_fails_without_a_checksum(
    land_failing: Callable[..., str], media: Path, name: str
) -> None:
    whole, sample = make(name, media).read_bytes(), SAMPLES[name]

    code = land_failing(whole[: len(whole) * 2 // 3], sample.content_type, type=sample.content_type.split("/")[0])

    assert code == "unreadable_media"


@pytest.fixture
def start_with_ffprobe(site: Site, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Starts a worker whose ffprobe is a script."""

    def start(script: str) -> None:
        program = tmp_path / "ffprobe"
        program.write_text(f'#!/bin/sh\ncase "$*" in *http://*) {script};; *) echo "ffprobe version x" >&2;; esac\n')
        program.chmod(0o755)
        site.worker("scripted", ASSETDOCK_FFPROBE=str(program), ASSETDOCK_PROBE_SECONDS=str(PROBE_SECONDS))

    yield start
    site.pause_workers()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("exec /bin/sleep 600", "probe_timeout"),
        ("while :; do echo endless; done", "unreadable_media"),
        ("while :; do echo endless >&2; done", "unreadable_media"),
        ("kill -SEGV $$", "probe_crashed"),
    ],
    ids=["hangs", "prints endlessly to stdout", "prints endlessly to stderr", "segfaults"],
)
def test_a_misbehaving_ffprobe_fails_the_asset_and_the_worker_keeps_running(
    site: Site, owner: Caller, start_with_ffprobe: Callable[[str], None], script: str, code: str
) -> None:
    start_with_ffprobe(script)
    started = time.monotonic()
    asset_id = owner.land(tone(1.0))

    until(lambda: owner.asset(asset_id)["state"] == "failed", "the asset to fail", MAX_SECONDS)

    assert owner.asset(asset_id)["error_code"] == code
    assert time.monotonic() - started < MAX_SECONDS
    assert site.workers["scripted"].running
