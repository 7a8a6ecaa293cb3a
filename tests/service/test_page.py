"""The page as HTTP sees it."""

import re
from pathlib import Path

import httpx
import pytest

from assetdock_server.config import Connection
from assetdock_server.routes.page import Page
from tests.callers import refused
from tests.processes import Service


@pytest.fixture
def html(service: Service) -> str:
    return httpx.get(service.url).text


def test_the_page_is_checked_for_news_every_time(service: Service) -> None:
    answer = httpx.get(service.url)

    assert answer.headers["cache-control"] == "no-cache"
    again = httpx.get(service.url, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = httpx.head(service.url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(answer.content))


def test_the_page_may_load_nothing_but_itself_and_its_supabase(service: Service) -> None:
    headers = httpx.get(service.url).headers
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))

    supabase = policy["connect-src"].split()[1]
    assert supabase.startswith("http://127.0.0.1:")
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["media-src"] == f"'self' blob: {supabase}"
    assert not re.search(r"unsafe|\*|https?:(?!//127)", headers["content-security-policy"])
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert headers["x-frame-options"] == "DENY"


def test_no_script_or_style_is_inline(html: str) -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html)


def test_files_are_kept_for_ever_under_names_that_change_with_them(service: Service, html: str) -> None:
    files = re.findall(r'"(/web/[^"]+)"', html)

    assert len(files) == 3
    for path in files:
        assert re.search(r"-[A-Z0-9]{8}\.(js|css|svg)$", path)
        answer = httpx.get(f"{service.url}{path}")
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert httpx.head(f"{service.url}{path}").status_code == 200


@pytest.mark.parametrize(
    ("accepted", "used"), [("br, gzip", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("identity", None)]
)
def test_files_are_compressed_as_the_browser_likes(
    service: Service, html: str, accepted: str, used: str | None
) -> None:
    path = re.findall(r'"(/web/main[^"]+)"', html)[0]
    with httpx.stream("GET", f"{service.url}{path}", headers={"Accept-Encoding": accepted}) as answer:
        raw = b"".join(answer.iter_raw())

    assert answer.headers.get("content-encoding") == used
    assert "Accept-Encoding" in answer.headers["vary"]
    assert len(raw) == int(answer.headers["content-length"])


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2fpage.py", "%2e%2e/page.py"])
def test_nothing_else_is_served(service: Service, name: str) -> None:
    refused(httpx.get(f"{service.url}/web/{name}"), 404, "not_found")


def test_the_settings_cannot_break_out_of_their_attributes(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<meta content="{{supabase_url}}"><meta content="{{supabase_publishable_key}}">'
    )

    page = Page.read(Connection("https://a.example", 'sb_publishable_"><script>'), tmp_path)

    assert page.html == b'<meta content="https://a.example"><meta content="sb_publishable_&quot;&gt;&lt;script&gt;">'


def test_a_service_whose_page_was_not_built_still_starts(tmp_path: Path) -> None:
    page = Page.read(Connection("https://a.example", "sb_publishable_a"), tmp_path / "dist")

    assert page.html is None
    assert page.files == {}
