"""Builds every document that the service serves, by path."""

import json
import re
from collections.abc import Iterable

from assetdock_server import files
from assetdock_server.documents import markdown
from assetdock_server.documents.components import Json
from assetdock_server.documents.openapi import openapi
from assetdock_server.documents.reference import build_reference
from assetdock_server.routes.descriptions.documents import MARKDOWN
from assetdock_server.routes.documents import Documents, document
from assetdock_server.routes.entry import JSON, Entry

GUIDES = files.directory("guides")
# The order in which a newcomer reads them.
READING_ORDER = (
    "quickstart",
    "authentication",
    "uploading",
    "formats",
    "waiting",
    "errors",
    "idempotency",
    "limits",
    "webhooks",
    "supabase-js",
)


def build_documents(entries: Iterable[Entry]) -> Documents:
    """Path -> document, or the error to respond with in its place."""
    described = openapi(entries)
    guides = [read_guide(name) for name in READING_ORDER]
    pages = markdown.operation_pages(described)
    documents: Documents = {
        "/openapi.json": document(json.dumps(described, ensure_ascii=False, indent=1), JSON),
        "/llms.txt": document(markdown.index(described, guides, pages), MARKDOWN),
        "/llms-full.txt": document(_full(described, guides, pages), MARKDOWN),
    }
    documents |= {page.path: document(page.text, MARKDOWN) for page in (*guides, *pages)}
    return documents | build_reference(files.directory("swagger-ui"))


def read_guide(name: str) -> markdown.Page:
    """A guide of docs/guides/. Its links to other guides, relative for GitHub, become absolute paths."""
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    return markdown.guide_page(name, re.sub(r"\]\(([\w-]+\.md)\b", r"](/docs/\1", text))


def _full(described: Json, guides: list[markdown.Page], pages: list[markdown.Page]) -> str:
    """/llms-full.txt: the introduction, then every page."""
    info = described["info"]
    texts = [page.text.removeprefix(markdown.INDEX).strip() for page in (*guides, *pages)]
    return "\n\n".join([f"# {info['title']}", info["description"].strip(), *texts]) + "\n"
