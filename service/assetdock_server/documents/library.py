"""All the files of the documentation, by their paths."""

import json
from collections.abc import Iterable
from pathlib import Path

from assetdock_server.documents import markdown
from assetdock_server.documents.errors import CAUSES, FAILURES
from assetdock_server.documents.openapi import Json, openapi
from assetdock_server.documents.reference import reference
from assetdock_server.errors import CATALOGUE
from assetdock_server.routes.descriptions.documents import MARKDOWN
from assetdock_server.routes.documents import Shelf, document
from assetdock_server.routes.entry import JSON, Entry

PROJECT = Path(__file__).parents[3]
GUIDES = PROJECT / "docs" / "guides"
# In the order in which someone new reads them.
READING_ORDER = (
    "quickstart",
    "authentication",
    "uploading",
    "waiting",
    "errors",
    "idempotency",
    "limits",
    "webhooks",
    "supabase-js",
)


def library(entries: Iterable[Entry]) -> Shelf:
    """Path -> document, or the error that is there in its place."""
    described = openapi(entries)
    guides = read_guides()
    pages = markdown.operation_pages(described)
    shelf: Shelf = {
        "/openapi.json": document(json.dumps(described, ensure_ascii=False, indent=1), JSON),
        "/llms.txt": document(markdown.index(described, guides, pages), MARKDOWN),
        "/llms-full.txt": document(full(described, guides, pages), MARKDOWN),
    }
    shelf |= {page.path: document(page.text, MARKDOWN) for page in (*guides, *pages)}
    return shelf | reference(PROJECT / "node_modules")


def read_guides() -> list[markdown.Page]:
    """The guides, in reading order, with the tables of codes filled in."""
    codes = [f"| {kind.status} | `{code}` | {CAUSES[code]} |" for code, kind in CATALOGUE.items()]
    failures = [f"| `{code}` | {text} |" for code, text in FAILURES.items()]
    pages = []
    for name in READING_ORDER:
        text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
        text = text.replace("{codes}", "\n".join(codes)).replace("{failures}", "\n".join(failures))
        pages.append(markdown.guide(name, text))
    return pages


def full(described: Json, guides: list[markdown.Page], pages: list[markdown.Page]) -> str:
    """/llms-full.txt: the introduction, then every page."""
    info = described["info"]
    texts = [page.text.removeprefix(markdown.INDEX).strip() for page in (*guides, *pages)]
    return "\n\n".join([f"# {info['title']}", info["description"].strip(), *texts]) + "\n"
