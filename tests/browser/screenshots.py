"""Takes the screenshots in docs/images/ (`make screenshots`); `make test` does not run it."""

import shutil
import subprocess
from pathlib import Path

from playwright.sync_api import Locator, expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import DESKTOP, PHONE, Tab
from tests.media import silence
from tests.polling import until
from tests.processes import PROJECT

IMAGES = PROJECT / "docs/images"
SIZES = {"desktop": {**DESKTOP, "height": 1120}, "phone": PHONE}
VIEWS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
SCENE = "gradients=size=1280x720:rate=25:duration=8:c0=0x0d3b4f:c1=0xe8a25c:c2=0x7fc1b0:c3=0x1b2a41:speed=0.02"
VP8 = ["-pix_fmt", "yuv420p", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1500k",
       "-c:a", "libopus"]  # fmt: skip


def test_take_screenshots(open_tab: OpenTab, tmp_path: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    film, interview = tmp_path / "Harbour at dawn.webm", tmp_path / "Interview with Ada.wav"
    recording, damaged = tmp_path / "Ocean field recording.opus", tmp_path / "Old tape.mp3"
    _ffmpeg("-f", "lavfi", "-i", SCENE, "-f", "lavfi", "-i", "sine=frequency=220:duration=8", *VP8, str(film))
    _ffmpeg("-f", "lavfi", "-i", "anoisesrc=duration=192:color=brown", "-c:a", "libopus", str(recording))
    damaged.write_bytes(b"The tape was damaged. " * 5000)
    silence(interview, seconds=1250, rate=48_000)

    for device, scheme in VIEWS:
        tab = open_tab(viewport=SIZES[device], color_scheme=scheme, reduced_motion="reduce", device_scale_factor=1.5)
        tab.page.goto("/")
        tab.page.get_by_role("heading", name="Welcome back").wait_for()
        _take(tab, "sign-in", device, scheme)
        tab.sign_up(f"ada.{device}.{scheme}@example.com")
        for file, text in ((recording, "3:12"), (damaged, "damaged"), (film, "0:08")):
            tab.choose(file)
            expect(tab.row(file.name)).to_contain_text(text)
        tab.row(film.name).get_by_role("button", name="Play").click()
        video = tab.row(film.name).locator("video")
        _wait_for(video, "video => video.currentTime > 1")
        video.evaluate("video => video.pause()")
        tab.network(upload=14_000_000)
        tab.choose(interview)
        bar = tab.row(interview.name).get_by_role("progressbar")
        _wait_for(bar, "bar => bar.value > 0.38")
        _take(tab, "assets", device, scheme)
        tab.row(interview.name).get_by_role("button", name="Cancel").click()
        expect(tab.row(interview.name)).to_have_count(0)

        tab.page.get_by_role("link", name="API keys").click()
        for name in ("Podcast pipeline", "Studio uploader"):
            tab.page.get_by_role("button", name="New key").click()
            tab.page.get_by_label("Name").fill(name)
            if name == "Podcast pipeline":
                _take(tab, "new-key", device, scheme)
            tab.page.get_by_role("button", name="Create key").click()
            tab.page.get_by_role("dialog", name="Save this key now").wait_for()
            if name == "Podcast pipeline":
                _take(tab, "save-key", device, scheme)
            tab.page.get_by_role("button", name="I have saved it").click()
        expect(tab.row("Podcast pipeline")).to_be_visible()
        _take(tab, "keys", device, scheme)


def _wait_for(locator: Locator, condition: str) -> None:
    until(lambda: locator.evaluate(condition), condition)


def _take(tab: Tab, view: str, device: str, scheme: str) -> None:
    if view != "assets" and (device, scheme) not in (("desktop", "light"), ("phone", "dark")):
        return
    tab.page.mouse.move(0, 0)
    tab.page.evaluate("document.fonts.ready.then(() => document.activeElement?.blur())")
    tab.page.screenshot(path=IMAGES / f"{view}-{device}-{scheme}.png", animations="disabled", caret="hide")


def _ffmpeg(*arguments: str) -> None:
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-threads", "2", *arguments], check=True, timeout=120)
