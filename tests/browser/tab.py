"""A tab of a real Chromium that records errors."""

import base64
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    CDPSession,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    Request,
    expect,
)

from tests.callers import Json
from tests.polling import until
from tests.processes import PROJECT

AXE = (PROJECT / "node_modules/axe-core/axe.min.js").read_text()
LAUNCH_ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--autoplay-policy=no-user-gesture-required",
]
# Milliseconds, for actions and expectations. Long, because the machine may be busy.
TIMEOUT = 120_000
expect.set_options(timeout=TIMEOUT)
DESKTOP = {"width": 1180, "height": 820}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery"


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium, or Playwright's if there is none (`make chromium`)."""
    system = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = os.geteuid() != 0  # Chromium's sandbox refuses root
    return playwright.chromium.launch(executable_path=system, args=LAUNCH_ARGUMENTS, chromium_sandbox=sandbox)


class Tab:
    """The page in a new browser profile. `errors` must be empty at the end of a test."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(base_url=url, **{"viewport": DESKTOP, **options})
        self.context.set_default_timeout(TIMEOUT)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[Request] = []
        self._ignored: list[re.Pattern[str]] = []
        # For every tab of the profile.
        self.context.on("console", self._on_console)
        self.context.on("weberror", lambda error: self.errors.append(f"uncaught: {error.error}"))
        self.context.on("request", self._on_request)
        self._cdp: CDPSession | None = None

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(each.search(message.text) for each in self._ignored):
            self.errors.append(f"console {message.type}: {message.text}")

    def _on_request(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.hostname != "127.0.0.1":
            self.errors.append(f"request to another host: {request.url}")

    def ignore(self, *patterns: str) -> None:
        """Ignores lines that Chromium writes to the console, such as those about failed requests."""
        self._ignored += [re.compile(each) for each in patterns]

    def sign_up(self, email: str) -> None:
        page = self.page
        page.goto("/")
        page.get_by_role("button", name="Create an account").click()
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account", exact=True).click()
        page.get_by_role("heading", name="Assets").wait_for()

    def choose(self, *files: Path) -> None:
        self.page.locator("#files").set_input_files(files)

    def drop(self, name: str, media_type: str, data: bytes) -> None:
        """Drops a file on the page. `media_type` is its File.type."""
        self.page.evaluate(
            """([name, type, base64]) => {
              const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0));
              const transfer = new DataTransfer();
              transfer.items.add(new File([bytes], name, {type}));
              const options = {dataTransfer: transfer, bubbles: true, cancelable: true};
              document.body.dispatchEvent(new DragEvent("drop", options));
            }""",
            [name, media_type, base64.b64encode(data).decode()],
        )

    def assets(self) -> dict[str | None, Json]:
        """The assets of the signed-in user, by file name."""
        listed = self.page.evaluate(
            """async () => {
              const {access_token} = JSON.parse(localStorage.getItem("assetdock.session"));
              const headers = {Authorization: `Bearer ${access_token}`};
              return (await fetch("/api/v1/assets?limit=100", {headers})).json();
            }"""
        )
        return {asset["filename"]: asset for asset in listed["items"]}

    def row(self, name: str) -> Locator:
        """The row of an asset or a key."""
        return self.page.get_by_role("listitem").filter(has_text=name)

    def network(self, *, offline: bool = False, upload: int = -1) -> None:
        """Disconnects the network, or limits uploads to a number of bytes per second."""
        self._cdp = self._cdp or self.context.new_cdp_session(self.page)
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload}
        self._cdp.send("Network.emulateNetworkConditions", conditions)

    def sent(self, method: str, path: str) -> list[Request]:
        """The requests so far with this method and this part of a URL."""
        return [each for each in self.requests if each.method == method and path in each.url]

    def violations(self) -> list[str]:
        """Serious and critical findings of axe, one line each, and whether the view scrolls horizontally."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [
            f"{each['id']}: {each['help']}: {json.dumps([node['html'] for node in each['nodes']])}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ] + self._overflow()

    def _overflow(self) -> list[str]:
        width, viewport = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return [f"scrolls horizontally: {width} px in {viewport}"] if width > viewport else []

    def close(self) -> None:
        self.context.close()


@contextmanager
def open_page(browser: Browser, url: str, **options: Any) -> Iterator[Tab]:
    """Closes the tab at the end, and fails if it recorded errors."""
    tab = Tab(browser, url, **options)
    try:
        yield tab
        assert not tab.errors, "\n".join(tab.errors)
    finally:
        tab.close()


def wait_until_playing(media: Locator) -> None:
    """Waits until a <video> or <audio> element plays."""
    until(lambda: media.evaluate("media => media.currentTime > 0.2 && !media.error"), "playback")
