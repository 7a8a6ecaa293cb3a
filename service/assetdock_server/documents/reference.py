"""/docs: Swagger UI over /openapi.json, from its npm package, under a policy that lets nothing in from elsewhere."""

from pathlib import Path

import structlog

from assetdock_server.errors import ApiError
from assetdock_server.routes.documents import Documents, document

PACKAGE = "swagger-ui-dist"
FILES = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
MISSING = (
    "The files of the reference are not installed on this server: `npm ci --ignore-scripts` (part of `make setup`) "
    "installs them. /openapi.json and /llms.txt say the same."
)
HEADERS = {
    # data: are the arrows that Swagger UI's style sheet draws. No style or script stands in the page itself.
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


def build_reference(node_modules: Path) -> Documents:
    """The page and its files; when the package is not there, errors that say so."""
    scripts = "text/javascript; charset=utf-8"
    documents: Documents = {
        "/docs": document(PAGE, "text/html; charset=utf-8", HEADERS),
        "/docs/assets/reference.js": document(SCRIPT, scripts),
    }
    try:
        for name, media_type in FILES.items():
            text = (node_modules / PACKAGE / name).read_text(encoding="utf-8")
            documents[f"/docs/assets/{name}"] = document(text, media_type)
    except FileNotFoundError as error:
        log.warning("reference_not_installed", missing=error.filename)
        return dict.fromkeys(("/docs", *(f"/docs/assets/{name}" for name in FILES)), ApiError("not_found", MISSING))
    return documents
