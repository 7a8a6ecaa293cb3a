"""The API as an OpenAPI 3.1 document.

It is built of plain dictionaries with the specification's own keys. A library of classes would only check their
spelling, which a test does with the specification's validator.
"""

import re
from collections.abc import Iterable

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from assetdock_server.documents.components import HEADERS, PARAMETERS, SECURITY_SCHEMES, Json
from assetdock_server.documents.errors import CAUSES
from assetdock_server.errors import CATALOGUE
from assetdock_server.routes.descriptions.examples import API_KEY_ID, ASSET_ID, DELIVERY_ID, WEBHOOK_ENDPOINT_ID
from assetdock_server.routes.entry import JSON, Entry
from assetdock_server.routes.schemas.problems import ErrorResponse

VERSION = "1"
REF = "#/components/schemas/{model}"
IDS = {
    "asset_id": ASSET_ID,
    "api_key_id": API_KEY_ID,
    "webhook_endpoint_id": WEBHOOK_ENDPOINT_ID,
    "delivery_id": DELIVERY_ID,
}
REASONS = {
    200: "Success.",
    201: "Created.",
    202: "Queued.",
    204: "No content.",
    304: "Not modified.",
}
WITH_RETRY_AFTER = ("upload_incomplete", "rate_limited", "too_many_pending_uploads", "upstream_unavailable")

TAGS = {
    "Uploads": "Reserve an asset and send its bytes to Storage.",
    "Assets": "Read, list, delete and restore assets.",
    "API keys": "Credentials for programs.",
    "Webhooks": "Receive events about assets.",
    "Operations": "Health checks and metrics for operators.",
    "Documents": "This documentation.",
}

DESCRIPTION = """\
Takes audio and video into Supabase: reserve an asset, send the bytes directly to Storage with a signed URL, and read \
the duration and streams that ffprobe finds.

- Send `Authorization: Bearer <token>` with a Supabase session JWT or an API key; the server recognises which one it is.
- Bodies are JSON in UTF-8, at most 64 KiB. Unknown fields are ignored.
- Times are RFC 3339 in UTC with microseconds, ids are UUIDv7, sizes are bytes, durations are decimal strings.
- Every error has the shape of `ErrorResponse`; programs should check its `code`. An unknown path is rejected with \
`not_found`, an unsupported method with `method_not_allowed` and `Allow`.
- A request for another owner's resource gets `not_found`, never `forbidden`.
- `HEAD` works wherever `GET` does. `OPTIONS` needs no token and returns 204 with `Allow`.

Guides and a Markdown page for each operation: [/llms.txt](/llms.txt).
"""


def openapi(entries: Iterable[Entry]) -> Json:
    """Builds the whole document."""
    entries = list(entries)
    paths: Json = {}
    for entry in entries:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry, entries)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Assetdock",
            "version": VERSION,
            "summary": "Audio and video uploads for Supabase.",
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(entries),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _schemas(entries: Iterable[Entry]) -> Json:
    models: set[type[BaseModel]] = {ErrorResponse}
    for entry in entries:
        operation = entry.operation
        models.update(model for model in (operation.response, operation.body) if model)
        models.update(model for _, _, model, _ in operation.other_responses)
    ordered = sorted(models, key=lambda model: model.__name__)
    _, document = models_json_schema([(model, "validation") for model in ordered], ref_template=REF)
    schemas: Json = document["$defs"]
    return schemas


def _operation(entry: Entry, entries: list[Entry]) -> Json:
    operation = entry.operation
    document: Json = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": [*_path_parameters(entry), *_query_parameters(entry), *_header_parameters(entry)],
        "responses": {str(status): response for status, response in sorted(_responses(entry).items())},
        "security": [] if entry.access == "public" else [{name: [entry.access]} for name in SECURITY_SCHEMES],
    }
    if operation.creates:
        document["responses"][str(operation.status)]["links"] = _links(*operation.creates, entries)
    if operation.query_example:
        document["x-example-query"] = operation.query_example
    if operation.body:
        document["requestBody"] = {
            "required": operation.body_required,
            "content": {
                JSON: {"schema": _reference(operation.body), "example": operation.body_example},
            },
        }
    return document


def _links(parameter: str, pointer: str, entries: list[Entry]) -> Json:
    return {
        each.operation.id: {
            "operationId": each.operation.id,
            "parameters": {parameter: f"$response.body#{pointer}"},
            "description": each.operation.summary + ".",
        }
        for each in entries
        if f"{{{parameter}}}" in each.path
    }


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": REF.format(model=model.__name__)}


def _path_parameters(entry: Entry) -> list[Json]:
    parameters = []
    for name in re.findall(r"{(\w+)}", entry.path):
        schema = entry.operation.path_parameters.get(name)
        parameter: Json = {"name": name, "in": "path", "required": True}
        if schema is None:
            parameter |= {
                "description": "A UUID. Any other value, or an id that is not yours, gets `not_found`.",
                "schema": {"type": "string", "format": "uuid"},
                "example": IDS[name],
            }
        else:
            parameter |= {"schema": schema}
        parameters.append(parameter)
    return parameters


def _query_parameters(entry: Entry) -> list[Json]:
    operation = entry.operation
    if operation.query is None:
        return []
    parameters = []
    for name, schema in operation.query.model_json_schema()["properties"].items():
        # Each is `rule or null`, but a query string cannot hold null.
        rule = {key: value for key, value in schema["anyOf"][0].items() if key != "description"}
        parameter = {"name": name, "in": "query", "description": schema["anyOf"][0]["description"], "schema": rule}
        parameters.append(parameter)
    return parameters


def _header_parameters(entry: Entry) -> list[Json]:
    names = ["X-Request-Id"]
    if entry.operation.takes_idempotency_key:
        names.insert(0, "Idempotency-Key")
    if entry.operation.has_etag:
        names.insert(0, "If-None-Match")
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def _responses(entry: Entry) -> dict[int, Json]:
    operation = entry.operation
    succeeded: Json = {"description": REASONS[operation.status], "headers": _headers(_success_headers(entry))}
    if operation.status != 204:
        schema: Json = {"type": "object"} if operation.media_type == JSON else {"type": "string"}
        succeeded["content"] = {
            operation.media_type: {
                "schema": _reference(operation.response) if operation.response else schema,
                "example": operation.example,
            },
            **{other: {"schema": schema} for other in operation.other_media_types},
        }
    responses = {operation.status: succeeded}
    if operation.has_etag:
        responses[304] = {"description": REASONS[304], "headers": _headers(["X-Request-Id", "ETag"])}
    for status, description, model, example in operation.other_responses:
        responses[status] = {
            "description": description,
            "headers": _headers(["X-Request-Id"]),
            "content": {JSON: {"schema": _reference(model), "example": example}},
        }
    by_status: dict[int, list[str]] = {}
    for code in CATALOGUE:
        if code in entry.errors:
            by_status.setdefault(CATALOGUE[code].status, []).append(code)
    return responses | {status: _error(entry, status, codes) for status, codes in by_status.items()}


def _success_headers(entry: Entry) -> list[str]:
    names = ["X-Request-Id"]
    if entry.operation.has_location:
        names.append("Location")
    if entry.operation.has_etag:
        names.append("ETag")
    if entry.access != "public":
        names += ["RateLimit", "RateLimit-Policy"]
    return names


def _error(entry: Entry, status: int, codes: list[str]) -> Json:
    names = ["X-Request-Id"]
    if status == 401:
        names.append("WWW-Authenticate")
    elif entry.access != "public":
        names += ["RateLimit", "RateLimit-Policy"]
    headers = _headers(names)
    if waiting := [code for code in codes if code in WITH_RETRY_AFTER]:
        headers["Retry-After"] = {"$ref": "#/components/headers/Retry-After"}
        if len(waiting) < len(codes):
            headers["Retry-After"] = {**HEADERS["Retry-After"], "required": False}
    if "insufficient_scope" in codes:
        headers["WWW-Authenticate"] = {**HEADERS["WWW-Authenticate"], "required": False}
    return {
        "description": " ".join(f"`{code}`: {CAUSES[code]}" for code in codes),
        "headers": headers,
        "content": {
            JSON: {
                "schema": {
                    **_reference(ErrorResponse),
                    "properties": {"error": {"properties": {"code": {"enum": codes}}}},
                },
                "examples": {code: {"summary": CAUSES[code], "value": error_example(code)} for code in codes},
            }
        },
    }


def _headers(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def error_example(code: str) -> Json:
    """Returns an error response with this code."""
    error: Json = {"code": code, "message": CATALOGUE[code].message}
    if code == "validation_error":
        error["fields"] = [{"field": "body.expires_in", "message": "From 60 to 7200 seconds."}]
    return {"error": error, "request_id": HEADERS["X-Request-Id"]["example"]}
