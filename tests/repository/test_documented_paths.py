"""Every file that the documentation names exists, and every link resolves on GitHub."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from devstack.binaries import PROJECT

PAGES = sorted(
    path.relative_to(PROJECT).as_posix()
    for path in (*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md"), *PROJECT.glob("*/README.md"))
    if path.parent.name != "node_modules"
)
# Pages that name files of the repository in backticks. CHANGELOG.md and old decisions may name files that are gone.
NAMING = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/glossary.md",
    "docs/operations.md",
    "docs/security.md",
]
# Only existing after a command has run.
GENERATED = {".local/stack.env", "service/web/dist/", "node_modules/"}
PATH = re.compile(r"`([\w.{},*-]*/[\w./{},*-]*|[\w.-]+\.(?:py|ts|sql|mjs|md|toml|yml))`")


@cache
def tracked() -> frozenset[str]:
    """Every tracked file and every directory of one."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    files = [name for name in listed.split("\0") if name and (PROJECT / name).is_file()]
    return frozenset([*files, *(f"{parent.as_posix()}/" for name in files for parent in Path(name).parents)])


def exists(named: str) -> bool:
    """Whether a path, as a page names it, is a file or folder of the repository or the end of one's path."""
    name = named if named.endswith("/") or "." in named.rpartition("/")[2] else f"{named}/"
    return named in GENERATED or any(path == name or path.endswith(f"/{name}") for path in tracked())


def paths(text: str) -> Iterator[str]:
    """The paths in backticks, without those that are URLs, media types or routes."""
    for found in PATH.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if not re.match(r"(/|audio/|video/|application/|text/|image/)", found):
            yield found


@pytest.mark.parametrize("page", NAMING)
def test_every_path_that_a_page_names_exists(page: str) -> None:
    named = set(paths((PROJECT / page).read_text()))

    assert sorted(path for path in named if not exists(path)) == []


def test_architecture_names_every_folder_and_module_of_the_service() -> None:
    text = (PROJECT / "docs/architecture.md").read_text()
    modules = (PROJECT / "service/assetdock_server").rglob("*.py")

    unnamed = sorted(
        path.relative_to(PROJECT).as_posix()
        for path in modules
        if path.name not in ("__init__.py", "__main__.py")
        and path.parent.name != "descriptions"
        and f"{path.name}`" not in text
    )
    assert unnamed == []


def test_architecture_names_every_migration() -> None:
    text = (PROJECT / "docs/architecture.md").read_text()
    names = [path.stem.partition("_")[2] for path in (PROJECT / "supabase/migrations").glob("*.sql")]

    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_answer_of_architecture_is_in_the_named_file() -> None:
    """The identifiers in the third column occur in the files of the second."""
    table = (PROJECT / "docs/architecture.md").read_text().partition("|---|---|---|\n")[2].partition("\n\n")[0]
    migrations = {path.stem.partition("_")[2]: path for path in (PROJECT / "supabase/migrations").glob("*.sql")}

    for question, files, identifiers in (line.split("|")[1:4] for line in table.splitlines()):
        names = re.findall(r"`([\w./]+)`", files)
        paths = [migrations.get(name, PROJECT / "service/assetdock_server" / name) for name in names]
        assert all(path.is_file() for path in paths), question
        text = "".join(path.read_text() for path in paths)
        assert all(name in text for name in re.findall(r"`([\w.]+)`", identifiers)), question


@pytest.mark.parametrize("page", PAGES)
def test_every_link_of_a_page_resolves_on_github(page: str) -> None:
    text = re.sub(r"```.*?```", "", (PROJECT / page).read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|srcset|href)="([^"]+)"', text)

    for link in links:
        path, _, fragment = link.partition("#")
        if re.match(r"https?://", link):
            continue
        target = (PROJECT / page).parent / path if path else PROJECT / page
        assert not path.startswith("/"), f"{link} is absolute: it breaks on GitHub"
        assert target.exists(), link
        if fragment:
            assert fragment in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_guides_have_no_placeholders() -> None:
    for page in (PROJECT / "docs/guides").glob("*.md"):
        text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
        assert not re.search(r"\{\w+\}", text), page
