"""Renders operations of the OpenAPI document as Markdown pages, and the index of all pages."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from assetdock_server.documents.components import Json
from assetdock_server.routes.descriptions.page import SCRIPT_NAME
from assetdock_server.routes.entry import JSON

INDEX = "> Index of all pages: [/llms.txt](/llms.txt).\n"
# Values of path parameters in curl commands: the shell variables that the guides set, and names of real files.
VARIABLES = {
    "asset_id": "$ASSET_ID",
    "api_key_id": "$API_KEY_ID",
    "webhook_endpoint_id": "$WEBHOOK_ENDPOINT_ID",
    "delivery_id": "$DELIVERY_ID",
    "page": "quickstart",
    "file": "reference.js",
    "name": SCRIPT_NAME,
}


@dataclass(frozen=True)
class Page:
    """A Markdown page. The index shows `summary`."""

    name: str
    title: str
    summary: str
    text: str

    @property
    def path(self) -> str:
        """The path of its URL."""
        return f"/docs/{self.name}.md"


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yields (method, path, operation) for each operation of an OpenAPI document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def operation_pages(document: Json) -> list[Page]:
    """Renders one page for each operation."""
    return [_page(document, method, path, operation) for method, path, operation in operations(document)]


def guide_page(name: str, text: str) -> Page:
    """Makes a page of a guide: the first line is the title, the first paragraph the summary."""
    title = text.partition("\n")[0].removeprefix("# ")
    summary = text.split("\n\n")[1].replace("\n", " ")
    return Page(name, title, summary, f"{INDEX}\n{text}")


def index(document: Json, guides: list[Page], pages: list[Page]) -> str:
    """Renders /llms.txt in the format of llmstxt.org."""
    by_name = {page.name: page for page in pages}
    lines = ["# Assetdock", "", f"> {document['info']['summary']}", "", document["info"]["description"]]
    lines += ["## Guides", "", *(_line(page) for page in guides), ""]
    for tag in document["tags"]:
        lines += [f"## {tag['name']}", ""]
        lines += [
            _line(by_name[slug(operation)])
            for _, _, operation in operations(document)
            if tag["name"] in operation["tags"]
        ]
        lines.append("")
    lines += ["## OpenAPI", "", "- [openapi.json](/openapi.json): the whole API as OpenAPI 3.1", ""]
    return "\n".join(lines)


def _line(page: Page) -> str:
    return f"- [{page.title}]({page.path}): {page.summary}"


def slug(operation: Json) -> str:
    """Returns the name of an operation's page."""
    return str(operation["operationId"]).replace("_", "-")


def curl(method: str, path: str, operation: Json) -> str:
    """Returns a command for a shell that has API_URL, ASSETDOCK_TOKEN and the variables of VARIABLES."""
    for name, variable in VARIABLES.items():
        path = path.replace(f"{{{name}}}", variable)
    query = "&".join(f"{name}={value}" for name, value in operation.get("x-example-query", {}).items())
    lines = [f"curl --request {method}", f'--url "$API_URL{path}{f"?{query}" if query else ""}"']
    if operation["security"]:
        lines.append('--header "Authorization: Bearer $ASSETDOCK_TOKEN"')
    if "requestBody" in operation:
        example = json.dumps(operation["requestBody"]["content"][JSON]["example"])
        lines += ["--header 'Content-Type: application/json'", f"--data {shlex.quote(example)}"]
    return " \\\n  ".join(lines)


def _page(document: Json, method: str, path: str, operation: Json) -> Page:
    sections = [
        f"# {operation['summary']}",
        f"`{method} {path}`",
        operation["description"],
        _access(operation),
        _parameters(document, operation),
        _body(document, operation),
        f"## Example\n\n```sh\n{curl(method, path, operation)}\n```",
        *(
            _response(document, status, response)
            for status, response in operation["responses"].items()
            if not _is_error(response)
        ),
        _errors(operation),
    ]
    text = INDEX + "\n" + "\n\n".join(section for section in sections if section) + "\n"
    summary = operation["description"].partition(". ")[0].rstrip(".") + "."
    return Page(slug(operation), operation["summary"], summary, text)


def _access(operation: Json) -> str:
    if not operation["security"]:
        return "Requires no credential."
    scope = next(iter(operation["security"][0].values()))[0]
    return (
        f"Requires the scope `{scope}`. Send a session JWT or an API key in `Authorization: Bearer` "
        "([authentication](/docs/authentication.md))."
    )


def _parameters(document: Json, operation: Json) -> str:
    rows = []
    for given in operation["parameters"]:
        parameter = _resolved(document, given)
        schema = parameter["schema"]
        needed = "required" if parameter.get("required") else "optional"
        text = _cell(parameter.get("description", ""))
        rows.append(f"| `{parameter['name']}` | {parameter['in']}, {needed} | {_rules(schema)} | {text} |")
    return _table("## Parameters", ["name", "in", "type", "description"], rows)


def _body(document: Json, operation: Json) -> str:
    if "requestBody" not in operation:
        return ""
    schema = _resolved(document, operation["requestBody"]["content"][JSON]["schema"])
    needed = "" if operation["requestBody"]["required"] else ", optional"
    return _fields(f"## Body (`{JSON}`{needed})", schema)


def _response(document: Json, status: str, response: Json) -> str:
    parts = [f"## {status}", response["description"]]
    headers = [f"`{name}`" for name in response.get("headers", {})]
    if headers:
        parts.append(f"Headers: {', '.join(headers)}.")
    for media_type, content in response.get("content", {}).items():
        example = content.get("example")
        if example is None:
            parts.append(f"`{media_type}`")
        elif isinstance(example, str):
            parts.append(f"`{media_type}`:\n\n```\n{example.rstrip()}\n```")
        else:
            parts.append(_json(example))
        if int(status) < 300 and "$ref" in content["schema"]:
            parts += _schema_tables(document, content["schema"]["$ref"])
    return "\n\n".join(parts)


def _is_error(response: Json) -> bool:
    return any("examples" in content for content in response.get("content", {}).values())


def _errors(operation: Json) -> str:
    rows, example = [], None
    for status, response in operation["responses"].items():
        for content in response.get("content", {}).values():
            for code, each in content.get("examples", {}).items():
                rows.append(f"| {status} | `{code}` | {_cell(each['summary'])} |")
                example = example or each["value"]
    if example is None:
        return ""
    heading = f"## Errors\n\nAll errors have the same shape ([errors](/docs/errors.md)):\n\n{_json(example)}"
    return _table(heading, ["status", "code", "cause, and what to do"], rows)


def _json(example: Any) -> str:
    return f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```"


def _schema_tables(document: Json, reference: str) -> list[str]:
    """Renders a table of fields for a schema and for every schema that it refers to."""
    waiting, seen, parts = [reference], set(), []
    while waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        schema = _resolved(document, {"$ref": name})
        heading = f"### {schema['title']}\n\n{schema.get('description', '')}"
        parts.append(_fields(heading, schema))
        waiting += _references(schema)
    return parts


def _references(schema: Any) -> list[str]:
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            return [schema["$ref"]]
        return [name for key, value in schema.items() if key != "mapping" for name in _references(value)]
    if isinstance(schema, list):
        return [name for value in schema for name in _references(value)]
    return []


def _fields(heading: str, schema: Json) -> str:
    needed = schema.get("required", [])
    rows = []
    for name, field in schema["properties"].items():
        text = field.get("description") or next(
            (each["description"] for each in field.get("anyOf", []) if "description" in each), ""
        )
        presence = "" if name in needed else ", optional"
        rows.append(f"| `{name}` | {_rules(field)}{presence} | {_cell(text)} |")
    return _table(heading, ["field", "type", "description"], rows)


def _rules(schema: Json) -> str:
    """Summarises a schema: `string, 1 to 255 characters`."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(_rules(each) for each in schema[union])
    if "enum" in schema or "const" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"array of {_rules(schema['items'])}"
    words = [kind]
    if "format" in schema:
        words.append(schema["format"])
    if "maxLength" in schema:
        words.append(f"{schema.get('minLength', 0)} to {schema['maxLength']} characters")
    if "maximum" in schema:
        words.append(f"{schema['minimum']} to {schema['maximum']}")
    elif "minimum" in schema:
        words.append(f"at least {schema['minimum']}")
    return ", ".join(words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _table(heading: str, columns: list[str], rows: list[str]) -> str:
    if not rows:
        return ""
    rule = "|" + "---|" * len(columns)
    return "\n".join([heading.rstrip(), "", f"| {' | '.join(columns)} |", rule, *rows])


def _resolved(document: Json, given: Json) -> Json:
    if "$ref" not in given:
        return given
    found: Any = document
    for part in given["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Json = found
    return resolved
