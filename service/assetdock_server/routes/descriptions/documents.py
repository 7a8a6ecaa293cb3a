"""Documentation of the routes in routes/documents.py."""

from assetdock_server.routes.entry import Operation

MARKDOWN = "text/markdown; charset=utf-8"

OPENAPI = Operation(
    id="get_openapi",
    tag="Documents",
    summary="This API as an OpenAPI document",
    description="OpenAPI 3.1, made of the models that the routes use.",
    example={"openapi": "3.1.0", "info": {"title": "Assetdock", "version": "1"}, "paths": {}},
    has_etag=True,
)

REFERENCE = Operation(
    id="get_reference",
    tag="Documents",
    summary="The reference for people",
    description="An interactive page, made of the OpenAPI document. It loads nothing from other hosts.",
    media_type="text/html; charset=utf-8",
    example="<!doctype html>…",
    has_etag=True,
    errors=("not_found",),
)

REFERENCE_FILE = Operation(
    id="get_reference_file",
    tag="Documents",
    summary="A file of the reference",
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
    summary="A page of the documentation as Markdown",
    description="A guide, or one operation with a curl example and its answer. `/llms.txt` lists them all.",
    media_type=MARKDOWN,
    example="# Quickstart\n…",
    path_parameters={"page": {"type": "string", "examples": ["quickstart"]}},
    has_etag=True,
    errors=("not_found",),
)

LLMS = Operation(
    id="get_llms_txt",
    tag="Documents",
    summary="The index of the documentation",
    description="Every Markdown page with a line about it, in the form of llmstxt.org.",
    media_type=MARKDOWN,
    example="# Assetdock\n…",
    has_etag=True,
)

LLMS_FULL = Operation(
    id="get_llms_full_txt",
    tag="Documents",
    summary="The whole documentation in one file",
    description="All the pages that `/llms.txt` lists, one after the other.",
    media_type=MARKDOWN,
    example="# Assetdock\n…",
    has_etag=True,
)
