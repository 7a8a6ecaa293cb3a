"""Documentation of the routes in routes/documents.py."""

from assetdock_server.routes.entry import Operation

MARKDOWN = "text/markdown; charset=utf-8"

OPENAPI = Operation(
    id="get_openapi",
    tag="Documents",
    summary="Get the OpenAPI document",
    description="OpenAPI 3.1, generated from the models that the routes use.",
    example={"openapi": "3.1.0", "info": {"title": "Assetdock", "version": "1"}, "paths": {}},
    has_etag=True,
)

REFERENCE = Operation(
    id="get_reference",
    tag="Documents",
    summary="Get the interactive API reference",
    description="An HTML page generated from the OpenAPI document. It loads nothing from other hosts.",
    media_type="text/html; charset=utf-8",
    example="<!doctype html>…",
    has_etag=True,
    errors=("not_found",),
)

REFERENCE_FILE = Operation(
    id="get_reference_file",
    tag="Documents",
    summary="Get a file of the API reference",
    description="The scripts and styles of `/docs`.",
    media_type="text/javascript; charset=utf-8",
    other_media_types=("text/css; charset=utf-8",),
    example="SwaggerUIBundle({…});",
    path_parameters={"file": {"type": "string", "enum": ["reference.js", "swagger-ui-bundle.js", "swagger-ui.css"]}},
    has_etag=True,
    errors=("not_found",),
)

PAGE = Operation(
    id="get_page",
    tag="Documents",
    summary="Get a page of the documentation as Markdown",
    description="A guide, or one operation with a curl example and its response. `/llms.txt` lists all pages.",
    media_type=MARKDOWN,
    example="# Quickstart\n…",
    path_parameters={"page": {"type": "string", "examples": ["quickstart"]}},
    has_etag=True,
    errors=("not_found",),
)

LLMS = Operation(
    id="get_llms_txt",
    tag="Documents",
    summary="Get the index of the documentation",
    description="Lists every Markdown page with a one-line description, in the format of llmstxt.org.",
    media_type=MARKDOWN,
    example="# Assetdock\n…",
    has_etag=True,
)

LLMS_FULL = Operation(
    id="get_llms_full_txt",
    tag="Documents",
    summary="Get the whole documentation in one file",
    description="Contains all pages that `/llms.txt` lists, in the same order.",
    media_type=MARKDOWN,
    example="# Assetdock\n…",
    has_etag=True,
)
