"""Accessibility of every view, on a desktop and a phone, in light and dark."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenTab
from tests.browser.tab import DESKTOP, PHONE

VIEWS = [
    pytest.param({"color_scheme": scheme, "viewport": viewport}, id=f"{device}-{scheme}")
    for scheme in ("light", "dark")
    for device, viewport in (("desktop", DESKTOP), ("phone", PHONE))
]


@pytest.mark.parametrize("options", VIEWS)
def test_no_view_has_a_serious_accessibility_violation(
    open_tab: OpenTab, email: str, film: Path, recording: Path, options: dict[str, Any]
) -> None:
    tab = open_tab(reduced_motion="reduce", **options)
    page = tab.page
    violations = {}
    page.goto("/")
    page.get_by_role("heading", name="Welcome back").wait_for()
    violations["sign in"] = tab.violations()
    tab.sign_up(email)
    violations["empty list"] = tab.violations()
    page.locator("#files").set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"Dear diary"})
    tab.choose(film)
    expect(tab.row("film.webm")).to_contain_text("VP8")
    tab.row("film.webm").get_by_role("button", name="Play").click()
    violations["assets"] = tab.violations()
    tab.network(upload=2_000_000)
    tab.choose(recording)
    expect(tab.row("Long interview.wav")).to_contain_text("MB/s")
    violations["sending"] = tab.violations()
    tab.row("Long interview.wav").get_by_role("button", name="Cancel").click()
    tab.network()
    page.get_by_role("link", name="API keys").click()
    page.get_by_role("button", name="New key").click()
    violations["new key"] = tab.violations()
    page.get_by_label("Name").fill("Studio uploader")
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("dialog", name="Save this key now").wait_for()
    violations["save this key"] = tab.violations()
    page.get_by_role("button", name="I have saved it").click()
    tab.row("Studio uploader").wait_for()
    violations["keys"] = tab.violations()
    for verb in ("Rotate", "Revoke"):
        tab.row("Studio uploader").get_by_role("button", name=verb).click()
        dialog = page.get_by_role("dialog", name=f"{verb} key")
        dialog.wait_for()
        violations[verb] = tab.violations()
        dialog.get_by_role("button", name="Cancel").click()

    assert {view: found for view, found in violations.items() if found} == {}
