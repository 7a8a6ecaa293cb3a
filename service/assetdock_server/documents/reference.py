"""/docs: Swagger UI from its npm package, with a Content-Security-Policy that allows no other host."""

from pathlib import Path

import structlog

from assetdock_server.errors import ApiError
from assetdock_server.routes.documents import Documents, document

JAVASCRIPT = "text/javascript; charset=utf-8"
FILES = {
    "swagger-ui-bundle.js": JAVASCRIPT,
    "swagger-ui.css": "text/css; charset=utf-8",
}
MISSING = (
    "Swagger UI is not installed on this server. Run `npm ci --ignore-scripts` (part of `make setup`) to install it. "
    "/openapi.json and /llms.txt have the same content."
)
HEADERS = {
    # Swagger UI's style sheet draws arrows with data: images. The page has no inline style or script.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Assetdock API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="reference"><noscript>This page needs JavaScript; <a href="/llms.txt">/llms.txt</a> does not.</noscript></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/reference.js"></script>
</body>
</html>
"""
SCRIPT = """\
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayOperationId: false,
  filter: true,
  showCommonExtensions: true,
  validatorUrl: null,
});
"""

log = structlog.get_logger()


def build_reference(package: Path) -> Documents:
    """Returns the page and its files, or, if the package is missing, errors that say how to install it."""
    documents: Documents = {
        "/docs": document(PAGE, "text/html; charset=utf-8", HEADERS),
        "/docs/assets/reference.js": document(SCRIPT, JAVASCRIPT),
    }
    try:
        for name, media_type in FILES.items():
            text = (package / name).read_text(encoding="utf-8")
            documents[f"/docs/assets/{name}"] = document(text, media_type)
    except FileNotFoundError as error:
        log.warning("swagger_ui_not_installed", missing=error.filename)
        return dict.fromkeys(("/docs", *(f"/docs/assets/{name}" for name in FILES)), ApiError("not_found", MISSING))
    return documents
