"""One Chromium for this directory, a fresh profile for every test."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.tab import Tab, launch, opened
from tests.media import make, silence
from tests.processes import Service, WorkerProcess

Open = Callable[..., Tab]


# For this package only: while it is open, Playwright keeps an event loop running in this thread.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = launch(playwright)
        yield running
        running.close()


@pytest.fixture
def open_tab(browser: Browser, service: Service, worker: WorkerProcess) -> Iterator[Open]:
    with ExitStack() as tabs:

        def make_tab(**options: Any) -> Tab:
            return tabs.enter_context(opened(browser, service.url, **options))

        yield make_tab


@pytest.fixture
def tab(open_tab: Open) -> Tab:
    return open_tab()


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex[:12]}@example.com"


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VP8 and Opus, which every Chromium plays; Debian's may lack H.264."""
    return make("film.webm", tmp_path_factory.mktemp("film"))


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty MB of sound: five parts."""
    return silence(tmp_path_factory.mktemp("recording") / "Long interview.wav", seconds=312, rate=48_000)
