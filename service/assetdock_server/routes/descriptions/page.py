"""Documentation of the routes in routes/page.py."""

from assetdock_server.routes.entry import Operation
from assetdock_server.routes.page import DIST

# The name contains a hash of the content, so the example uses a file of this build.
SCRIPT_NAME = next((path.name for path in DIST.glob("main-*.js")), "main-ABCDEFGH.js")

INDEX = Operation(
    id="get_web_page",
    tag="Documents",
    summary="Get the web page",
    description="The page on which people upload, play and delete media and manage API keys. It loads nothing from "
    "other hosts but your Supabase project.",
    media_type="text/html; charset=utf-8",
    example="<!doctype html>…",
    has_etag=True,
    errors=("not_found",),
)

FILE = Operation(
    id="get_web_file",
    tag="Documents",
    summary="Get a file of the web page",
    description="A script, stylesheet, icon or font of `/`. Its name changes with its content, so clients may cache "
    "it without expiry.",
    media_type="text/javascript; charset=utf-8",
    other_media_types=("text/css; charset=utf-8", "image/svg+xml", "font/woff2"),
    example="import{…}",
    path_parameters={"name": {"type": "string", "examples": [SCRIPT_NAME]}},
    errors=("not_found",),
)
