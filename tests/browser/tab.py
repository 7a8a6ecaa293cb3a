"""A tab of a real Chromium, that notes what must not happen in it."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, CDPSession, ConsoleMessage, Locator, Page, Playwright, Request

from tests.polling import until
from tests.processes import PROJECT

AXE = (PROJECT / "node_modules/axe-core/axe.min.js").read_text()
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--autoplay-policy=no-user-gesture-required",
]
DESKTOP = {"width": 1180, "height": 820}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery"


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium, else Playwright's own; `make chromium` sees that there is one."""
    system = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = os.geteuid() != 0  # Chromium's sandbox refuses root
    return playwright.chromium.launch(executable_path=system, args=QUIET, chromium_sandbox=sandbox)


class Tab:
    """The page in a browser profile of its own. `complaints` must be empty at the end."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(base_url=url, **{"viewport": DESKTOP, **options})
        self.context.set_default_timeout(20_000)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[Request] = []
        self._expected: list[re.Pattern[str]] = []
        # Of every page in the profile, other tabs too.
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.complaints.append(f"uncaught: {error.error}"))
        self.context.on("request", self._request)
        self._cdp: CDPSession | None = None

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not any(each.search(message.text) for each in self._expected):
            self.complaints.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if parts.scheme not in ("blob", "data") and parts.hostname != "127.0.0.1":
            self.complaints.append(f"a request left this machine: {request.url}")

    def expect(self, *patterns: str) -> None:
        """Lines that Chromium itself writes to the console here, such as those about a refused request."""
        self._expected += [re.compile(each) for each in patterns]

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

    def row(self, name: str) -> Locator:
        """The line of an asset or a key."""
        return self.page.get_by_role("listitem").filter(has_text=name)

    def network(self, *, offline: bool = False, upload: int = -1) -> None:
        """Cuts the network, or holds uploads back to so many bytes a second, so that there is time to cut it."""
        self._cdp = self._cdp or self.context.new_cdp_session(self.page)
        conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload}
        self._cdp.send("Network.emulateNetworkConditions", conditions)

    def sent(self, method: str, path: str) -> list[Request]:
        """Requests so far."""
        return [each for each in self.requests if each.method == method and path in each.url]

    def violations(self) -> list[str]:
        """What axe finds that is serious or critical, in one line each, and whether the view scrolls sideways."""
        self.page.evaluate(AXE)
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        return [
            f"{each['id']}: {each['help']}: {json.dumps([node['html'] for node in each['nodes']])}"
            for each in found
            if each["impact"] in ("serious", "critical")
        ] + self._too_wide()

    def _too_wide(self) -> list[str]:
        width, room = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return [f"scrolls sideways: {width} px in {room}"] if width > room else []

    def close(self) -> None:
        self.context.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Tab]:
    """A tab that is closed afterwards, and asked what went wrong in it."""
    tab = Tab(browser, url, **options)
    try:
        yield tab
        assert not tab.complaints, "\n".join(tab.complaints)
    finally:
        tab.close()


def plays(media: Locator) -> None:
    """Waits until a <video> or <audio> has moved; fails if it doesn't."""
    until(lambda: media.evaluate("media => media.currentTime > 0.2 && !media.error"), "the media to play")
