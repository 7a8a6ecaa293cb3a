"""Recordings of the real Chromium, in each type that its MediaRecorder supports, through the page and the API."""

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.tab import Tab
from tests.callers import Caller, Json
from tests.processes import Service

RECORDER = Path(__file__).with_name("recorder.js").read_text().rstrip().removesuffix(";")
SECONDS, PAUSE = 2.0, 0.7
# What pages ask for; "audio/webm" alone is the same as with Opus, for example. Not every Chromium supports all.
CANDIDATES = (
    *("audio/webm;codecs=opus", "audio/webm;codecs=pcm", "audio/mp4;codecs=opus", "audio/mp4;codecs=mp4a.40.2"),
    *(
        "audio/ogg;codecs=opus",
        "video/webm;codecs=vp8,opus",
        "video/webm;codecs=vp9,opus",
        "video/webm;codecs=av1,opus",
    ),
    *("video/webm;codecs=h264,opus", "video/mp4;codecs=vp9,opus", "video/mp4;codecs=av01.0.00M.08,opus"),
    *(
        "video/mp4;codecs=avc1.42E01E,mp4a.40.2",
        "video/x-matroska;codecs=avc1,opus",
        "video/x-matroska;codecs=vp8,opus",
    ),
)


@dataclass(frozen=True)
class Recording:
    """`reported` is MediaRecorder.mimeType."""

    name: str
    reported: str
    data: bytes

    @property
    def kind(self) -> str:
        return self.reported.partition("/")[0]


@pytest.fixture(scope="module")
def recordings(browser: Browser, service: Service) -> list[Recording]:
    """One recording of every supported type, and some with a pause. All are made at the same time."""
    page = browser.new_page()
    page.goto(f"{service.url}/healthz")  # an origin without a Content-Security-Policy
    supported = page.evaluate("types => types.filter(each => MediaRecorder.isTypeSupported(each))", list(CANDIDATES))
    takes = [
        {"type": each, "picture": each.startswith("video/"), "pause": pause, "seconds": SECONDS}
        for each in supported
        for pause in (0, PAUSE)
    ]
    made = []
    for start in range(0, len(takes), 6):  # a slow machine cannot encode all at once
        made += page.evaluate(f"takes => Promise.all(takes.map({RECORDER}))", takes[start : start + 6])
    page.close()
    return [
        Recording(f"take {number:02}", take["mimeType"], base64.b64decode(take["base64"]))
        for number, take in enumerate(made)
    ]


def decoded_seconds(recording: Recording, folder: Path) -> float:
    """The length of the longest stream, by a full decode."""
    path = folder / recording.name
    path.write_bytes(recording.data)
    decoded = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0", "-f", "framecrc", "-"],
        check=True,
        capture_output=True,
        text=True,
        timeout=240,
    )
    bases = {}
    ends = [0.0]
    for line in decoded.stdout.splitlines():
        if line.startswith("#tb "):
            stream, base = line.removeprefix("#tb ").split(":")
            over, under = base.strip().split("/")
            bases[stream.strip()] = int(over) / int(under)
        elif not line.startswith("#"):
            stream, _, pts, duration, *_ = (each.strip() for each in line.split(","))
            ends.append((int(pts) + int(duration)) * bases[stream])
    return max(ends)


def check(asset: Json, recording: Recording, folder: Path) -> None:
    """The asset is ready, has the type of its bytes, and lasts as long as the decoded file."""
    what = (recording.reported, asset["error_message"])
    assert asset["state"] == "ready", what
    assert asset["content_type"].partition("/")[0] == recording.kind, what
    assert asset["declared_content_type"] == recording.reported, what
    assert float(asset["duration_seconds"]) == pytest.approx(decoded_seconds(recording, folder), abs=0.1), what
    assert float(asset["duration_seconds"]) > SECONDS - 0.5, what


def test_chromium_supports_the_types_that_are_tested_here(recordings: list[Recording]) -> None:
    reported = {each.reported for each in recordings}

    assert {"audio/webm;codecs=opus", "video/webm;codecs=vp8,opus"} <= reported
    assert len(reported) >= 5, reported


@pytest.mark.usefixtures("worker")
def test_a_recording_sent_to_the_api_becomes_ready(owner: Caller, recordings: list[Recording], tmp_path: Path) -> None:
    landed = [owner.land(each.data, type=each.kind, content_type=each.reported) for each in recordings]

    for asset_id, recording in zip(landed, recordings, strict=True):
        check(owner.wait_until_finished(asset_id), recording, tmp_path)


def test_a_recording_dropped_on_the_page_becomes_ready(
    tab: Tab, email: str, recordings: list[Recording], tmp_path: Path
) -> None:
    tab.sign_up(email)

    for each in recordings:
        tab.drop(each.name, each.reported, each.data)
    for each in recordings:
        expect(tab.row(each.name).get_by_role("button", name="Play")).to_be_visible()

    listed = tab.assets()
    for each in recordings:
        assert listed[each.name]["type"] == each.kind
        check(listed[each.name], each, tmp_path)
