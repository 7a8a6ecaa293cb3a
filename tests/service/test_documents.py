"""The served documentation: complete, consistent between its forms, and cached correctly."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from assetdock_server.documents.build import GUIDES, READING_ORDER
from assetdock_server.documents.errors import CAUSES
from assetdock_server.documents.markdown import slug
from assetdock_server.documents.reference import MISSING, build_reference
from assetdock_server.errors import CATALOGUE, ApiError
from assetdock_server.media.verdict import AssetType, ErrorCode
from assetdock_server.routes.entry import Access
from assetdock_server.routes.fields import EVENT_TYPES, SCOPES, STATES, TYPES
from assetdock_server.routes.schemas.api_keys import Scope
from assetdock_server.routes.schemas.assets import AssetState
from assetdock_server.routes.schemas.webhook_endpoints import EventType
from assetdock_server.routes.table import TABLE, routes
from tests.callers import Project, assert_rejected
from tests.service.openapi import described, document, documented_codes

PAGES = [*READING_ORDER, *(slug(operation) for _, _, operation in described().values())]
FILES = {
    "/openapi.json": "application/json",
    "/docs": "text/html; charset=utf-8",
    "/docs/assets/reference.js": "text/javascript; charset=utf-8",
    "/docs/assets/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/assets/swagger-ui.css": "text/css; charset=utf-8",
    "/docs/quickstart.md": "text/markdown; charset=utf-8",
    "/docs/create-upload-url.md": "text/markdown; charset=utf-8",
    "/llms.txt": "text/markdown; charset=utf-8",
    "/llms-full.txt": "text/markdown; charset=utf-8",
}


def get(project: Project, path: str, **headers: str) -> httpx.Response:
    return httpx.get(project.api_url + path, headers=headers)


def test_openapi_document_is_valid() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(document()).iter_errors()] == []


def test_openapi_document_describes_exactly_the_routes() -> None:
    served = {
        (method, re.sub(r":segment}", "}", route.path))
        for route in routes()
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    }

    assert {(method, path) for method, path, _ in described().values()} == served
    assert len(described()) == len(TABLE)  # no two operations share an id


def test_openapi_document_states_the_scope_of_every_route() -> None:
    for entry in TABLE:
        _, _, operation = described()[entry.operation.id]
        assert entry.access in get_args(Access)
        scopes = [] if entry.access == "public" else [{"session": [entry.access]}, {"api_key": [entry.access]}]
        assert operation["security"] == scopes


def test_only_public_routes_respond_without_a_credential(project: Project) -> None:
    for method, path, operation in described().values():
        response = httpx.request(method, project.api_url + re.sub(r"{\w+}", "01a20b72", path))
        if operation["security"]:
            assert_rejected(response, 401, "unauthenticated")
        else:
            assert response.status_code in (200, 404), (path, response.text)


def test_every_parameter_schema_and_response_has_a_description() -> None:
    unexplained = [
        (operation_id, parameter["name"])
        for operation_id, (_, _, operation) in described().items()
        for parameter in operation["parameters"]
        if "$ref" not in parameter and parameter["in"] != "path" and not parameter.get("description")
    ]
    for name, schema in document()["components"]["schemas"].items():
        if not schema.get("description"):
            unexplained.append(("schemas", name))
    for operation_id, (_, _, operation) in described().items():
        assert operation["summary"], operation_id
        assert operation["description"].endswith("."), operation_id
        for status, response in operation["responses"].items():
            if not response["description"]:
                unexplained.append((operation_id, status))

    assert unexplained == []


def test_every_error_code_is_documented_on_the_routes_that_return_it() -> None:
    in_operations: set[str] = set().union(*(documented_codes(operation) for _, _, operation in described().values()))

    assert set(CAUSES) == set(CATALOGUE)
    # A request of a listed method never gets method_not_allowed, so only the introduction documents it.
    assert in_operations == set(CATALOGUE) - {"method_not_allowed"}
    assert "method_not_allowed" in document()["info"]["description"]
    for entry in TABLE:
        assert documented_codes(described()[entry.operation.id][2]) == entry.errors
    for _, _, operation in described().values():
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                assert all(CATALOGUE[code].status == int(status) for code in content.get("examples", {}))


def test_lists_of_values_match_the_database(database: Any) -> None:
    def check(constraint: str) -> set[str]:
        row = database.execute("select pg_get_constraintdef(oid) from pg_constraint where conname = %s", [constraint])
        return set(re.findall(r"'([a-z_:]+)'::text", row.fetchone()[0]))

    def values(function: str) -> list[str]:
        return list(database.execute(f"select assetdock_private.{function}()").fetchone()[0])

    assert list(STATES) == values("asset_states") == list(get_args(AssetState))
    assert list(TYPES) == values("asset_types") == list(get_args(AssetType))
    assert guide_codes("waiting", "| `error_code`") == check("assets_error_code_check") == set(get_args(ErrorCode))
    assert list(EVENT_TYPES) == values("webhook_event_types") == list(get_args(EventType))
    assert list(SCOPES) == values("all_scopes") == list(get_args(Scope))
    assert set(get_args(Access)) - {"public"} <= set(SCOPES)


def test_index_lists_every_page_and_every_link_resolves(project: Project) -> None:
    index = get(project, "/llms.txt").text
    listed = set(re.findall(r"\]\((/docs/[^)]+\.md)\)", index))
    guides = {path.stem for path in GUIDES.iterdir()}

    assert guides == set(READING_ORDER)
    assert listed == {f"/docs/{name}.md" for name in PAGES}
    linked = {link for name in PAGES for link in links(get(project, f"/docs/{name}.md").text)} | set(links(index))
    assert all(path.startswith("/") for path in linked if not path.startswith("https://"))
    for path in (path for path in linked if path.startswith("/")):
        assert get(project, path).status_code == 200, path


def guide_codes(name: str, header: str) -> set[str]:
    """The codes in the first column of a guide's table."""
    table = (GUIDES / f"{name}.md").read_text().partition(header)[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_guide_to_errors_has_the_catalogues_table() -> None:
    table = "\n".join(f"| {kind.status} | `{code}` | {CAUSES[code]} |" for code, kind in CATALOGUE.items())

    assert table in (GUIDES / "errors.md").read_text(), f"Put this table into docs/guides/errors.md:\n{table}"


def links(text: str) -> Iterator[str]:
    return (link.group(1) for link in re.finditer(r"\]\(([^)#]+)[^)]*\)", text))


def test_full_text_contains_every_page(project: Project) -> None:
    everything = get(project, "/llms-full.txt").text

    for name in PAGES:
        page = get(project, f"/docs/{name}.md").text
        assert page.partition("\n\n")[2].strip() in everything


@pytest.mark.parametrize("name", sorted(described()))
def test_operation_page_contains_what_the_openapi_document_states(project: Project, name: str) -> None:
    method, path, operation = described()[name]

    page = get(project, f"/docs/{slug(operation)}.md").text

    assert f"`{method} {path}`" in page
    assert operation["description"] in page
    assert "```sh\ncurl" in page
    assert set(re.findall(r"^\| \d{3} \| `(\w+)` \|", page, re.MULTILINE)) == documented_codes(operation)
    for parameter in operation["parameters"]:
        named = parameter.get("name") or parameter["$ref"].rpartition("/")[2]
        assert f"| `{named}` |" in page


@pytest.mark.parametrize("path", FILES)
def test_document_has_its_media_type_and_revalidates_by_etag(project: Project, path: str) -> None:
    first = get(project, path)

    assert (first.status_code, first.headers["content-type"]) == (200, FILES[path])
    assert first.headers["cache-control"] == "public, max-age=300"
    again = get(project, path, **{"If-None-Match": f'"old", W/{first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert get(project, path, **{"If-None-Match": '"old"'}).status_code == 200
    head = httpx.head(project.api_url + path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == first.headers["content-length"]


@pytest.mark.parametrize("path", ["/docs/nothing.md", "/docs/assets/nothing.js", "/docs/..%2Fguides.md", "/docs/.md"])
def test_unknown_page_is_not_found(project: Project, path: str) -> None:
    assert_rejected(get(project, path), 404, "not_found")


def test_reference_page_loads_nothing_from_other_hosts(project: Project) -> None:
    page = get(project, "/docs")

    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sources
    for source in sources:
        assert source == "data:," or get(project, source).status_code == 200


def test_server_without_swagger_ui_explains_how_to_install_it(tmp_path: Path) -> None:
    documents = build_reference(tmp_path)

    missing = documents["/docs"]
    assert isinstance(missing, ApiError)
    assert (missing.code, missing.text) == ("not_found", MISSING)
    assert "npm ci" in MISSING
