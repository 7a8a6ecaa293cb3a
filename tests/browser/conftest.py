"""One Chromium for this directory, and a new profile for every test."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.tab import Tab, launch, open_page
from tests.media import make, silence
from tests.processes import Service, WorkerProcess

OpenTab = Callable[..., Tab]


# Not for the whole session: Playwright keeps an event loop running in this thread.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


@pytest.fixture
def open_tab(browser: Browser, service: Service, worker: WorkerProcess) -> Iterator[OpenTab]:
    with ExitStack() as tabs:

        def make_tab(**options: Any) -> Tab:
            return tabs.enter_context(open_page(browser, service.url, **options))

        yield make_tab


@pytest.fixture
def tab(open_tab: OpenTab) -> Tab:
    return open_tab()


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.com"


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VP8 and Opus, because a Chromium without proprietary codecs lacks H.264."""
    return make("film.webm", tmp_path_factory.mktemp("film"))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 MB of audio: five TUS chunks."""
    return silence(tmp_path_factory.mktemp("recording") / "Long interview.wav", seconds=312, rate=48_000)
