"""The page decides whether a file is audio or video after looking at it, and people can correct it."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import PHONE, Tab
from tests.media import make

VOICE = Path(__file__).with_name("voice.3gp").read_bytes()  # AMR, which Chromium cannot play


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kinds")


def test_files_become_ready_whatever_their_name_and_type_suggest(tab: Tab, email: str, media: Path) -> None:
    sound, film = make("sound.webm", media).read_bytes(), make("film.webm", media).read_bytes()
    m4a = make("sound.m4a", media).read_bytes()
    dropped = {
        "voice.3gp": ("video/3gpp", VOICE, "audio"),
        "unknown voice.3gp": ("", VOICE, "audio"),
        "sound only.mp4": ("video/mp4", m4a, "audio"),
        "sound only.webm": ("video/webm", sound, "audio"),
        "film.webm": ("video/webm", film, "video"),
        "linux.mkv": ("application/x-matroska", film, "video"),
        "core audio.caf": ("", make("sound.caf", media).read_bytes(), "audio"),
        "stream.ts": ("text/vnd.trolltech.linguist", make("film.ts", media).read_bytes(), "video"),
        "film without an extension": ("", film, "video"),
        "sound without an extension": ("application/octet-stream", sound, "audio"),
    }
    tab.sign_up(email)

    for name, (media_type, data, _) in dropped.items():
        tab.drop(name, media_type, data)
    for name in dropped:
        expect(tab.row(name).get_by_role("button", name=f"Play {name}", exact=True)).to_be_visible()

    assert {name: asset["type"] for name, asset in tab.assets().items()} == {
        name: asset_type for name, (_, _, asset_type) in dropped.items()
    }


def test_files_that_nothing_shows_to_be_media_are_rejected_without_a_request(tab: Tab, email: str) -> None:
    tab.sign_up(email)

    tab.drop("notes", "", b"Dear diary")
    tab.drop("drawing.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    tab.drop("__proto__", "text/plain", b"Dear diary")

    for name in ("notes", "drawing.svg", "__proto__"):
        expect(tab.row(name)).to_contain_text("neither audio nor video")
    assert tab.sent("POST", "/assets/upload-url") == []


def test_a_person_corrects_the_type_during_the_upload(open_tab: OpenTab, email: str, media: Path) -> None:
    film = make("film.webm", media).read_bytes()
    tab = open_tab(viewport=PHONE)
    tab.sign_up(email)
    tab.network(upload=1_000_000)
    tab.drop("concert.webm", "video/webm", film + bytes(7_000_000))  # sent in parts, so it can be paused
    row = tab.row("concert.webm")
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    assert tab.violations() == []

    row.get_by_role("button", name="Treat as audio").click()
    expect(row.get_by_role("button", name="Treat as video")).to_be_visible()
    tab.network()

    expect(row.get_by_role("button", name="Play concert.webm")).to_be_visible()
    assert {name: asset["type"] for name, asset in tab.assets().items()} == {"concert.webm": "audio"}


def test_a_person_corrects_the_type_of_a_file_that_failed(tab: Tab, email: str, media: Path) -> None:
    """Chromium cannot play this file, and its container has no index that the page reads."""
    tab.sign_up(email)
    tab.drop("music.wmv", "video/x-ms-wmv", make("sound.wma", media).read_bytes())
    row = tab.row("music.wmv")
    expect(row).to_contain_text("contains sound but no video")

    row.get_by_role("button", name="Treat as audio").click()

    expect(row.get_by_role("button", name="Play music.wmv")).to_be_visible()
    assert [(asset["type"], asset["state"]) for asset in tab.assets().values()] == [("audio", "ready")]


def test_the_file_input_offers_every_extension_of_the_list(tab: Tab, email: str) -> None:
    tab.sign_up(email)

    accepted = (tab.page.locator("#files").get_attribute("accept") or "").split(",")

    assert {"audio/*", "video/*", ".caf", ".3gp", ".mkv", ".flac", ".opus", ".mts", ".w64"} <= set(accepted)
    assert ".srt" not in accepted
