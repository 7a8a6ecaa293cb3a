"""The page over HTTP, and its copies of the API's lists."""

import re
from pathlib import Path

import httpx
import pytest

from assetdock_server.config import Connection
from assetdock_server.errors import CATALOGUE
from assetdock_server.routes.page import Page
from tests.callers import assert_rejected
from tests.processes import PROJECT, Service
from tests.service.openapi import document

SOURCES = PROJECT / "service/web/src"


@pytest.fixture
def html(service: Service) -> str:
    return httpx.get(service.url).text


def test_browsers_revalidate_the_page_on_every_visit(service: Service) -> None:
    response = httpx.get(service.url)
    head = httpx.head(service.url)
    revalidated = httpx.get(service.url, headers={"If-None-Match": response.headers["etag"]})

    assert response.headers["cache-control"] == "no-cache"
    assert (revalidated.status_code, revalidated.content) == (304, b"")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(response.content))


def test_the_page_can_load_only_its_own_files_and_its_supabase_project(service: Service) -> None:
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


def test_the_page_has_no_inline_script_or_style(html: str) -> None:
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", html)


def test_browsers_cache_files_forever_under_names_with_a_content_hash(service: Service, html: str) -> None:
    paths = re.findall(r'"(/web/[^"]+)"', html)

    assert len(paths) == 3
    for path in paths:
        assert re.search(r"-[A-Z0-9]{8}\.(js|css|svg)$", path)
        response = httpx.get(f"{service.url}{path}")
        assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert httpx.head(f"{service.url}{path}").status_code == 200


@pytest.mark.parametrize(
    ("accept_encoding", "content_encoding"),
    [("br, gzip", "br"), ("gzip", "gzip"), ("br;q=0, gzip", "gzip"), ("identity", None)],
)
def test_files_are_compressed_as_the_browser_accepts(
    service: Service, html: str, accept_encoding: str, content_encoding: str | None
) -> None:
    path = re.findall(r'"(/web/main[^"]+)"', html)[0]
    with httpx.stream("GET", f"{service.url}{path}", headers={"Accept-Encoding": accept_encoding}) as response:
        raw = b"".join(response.iter_raw())

    assert response.headers.get("content-encoding") == content_encoding
    assert "Accept-Encoding" in response.headers["vary"]
    assert len(raw) == int(response.headers["content-length"])


@pytest.mark.parametrize("name", ["nothing.js", "index.html", "..%2fpage.py", "%2e%2e/page.py"])
def test_other_paths_are_not_found(service: Service, name: str) -> None:
    assert_rejected(httpx.get(f"{service.url}/web/{name}"), 404, "not_found")


def test_settings_are_escaped_in_html_attributes(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<meta content="{{supabase_url}}"><meta content="{{supabase_publishable_key}}">'
    )

    page = Page.read(Connection("https://a.example", 'sb_publishable_"><script>'), tmp_path)

    assert page.html == b'<meta content="https://a.example"><meta content="sb_publishable_&quot;&gt;&lt;script&gt;">'


def test_the_service_starts_without_a_built_page(tmp_path: Path) -> None:
    page = Page.read(Connection("https://a.example", "sb_publishable_a"), tmp_path / "dist")

    assert page.html is None
    assert page.files == {}


def test_the_page_and_the_api_have_the_same_asset_types_states_and_scopes() -> None:
    schemas = document()["components"]["schemas"]
    asset = schemas["Asset"]["properties"]
    scopes = schemas["ApiKey"]["properties"]["scopes"]["items"]["enum"]

    assert re.findall(r'"(\w+)"', _declaration("assetTypes.ts", "ASSET_TYPES")) == asset["type"]["enum"]
    assert re.findall(r'"(\w+)"', _declaration("assetTypes.ts", "ASSET_STATES")) == asset["state"]["enum"]
    page_scopes = re.findall(r'\["(\w+:\w+)"', _declaration("apiKeyDialogs.ts", "SCOPES"))
    assert page_scopes == [scope for scope in scopes if scope != "assets:produce"]  # which only operators grant


def test_the_page_has_messages_only_for_error_codes_of_the_api() -> None:
    codes = re.findall(r"^  (\w+):", _declaration("errors.ts", "API_MESSAGES"), re.MULTILINE)

    assert codes
    assert set(codes) <= set(CATALOGUE)


def _declaration(file: str, name: str) -> str:
    """The TypeScript source of a constant."""
    found = re.search(rf"const {name}\b.*?;\n", (SOURCES / file).read_text(), re.DOTALL)
    assert found
    return found.group()
