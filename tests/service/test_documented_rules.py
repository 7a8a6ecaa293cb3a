"""The service accepts values at the edges of the documented rules and rejects values just outside them."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from tests.callers import Caller, assert_rejected
from tests.service.openapi import described, document, entry

Json = dict[str, Any]
RULES = (
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "enum",
    "pattern",
    "propertyNames",
    "format",
)
# Makes a text of the given length that breaks no rule except, perhaps, the length.
LONG: dict[str, Callable[[int], str]] = {
    "content_type": lambda n: "audio/mpeg;" + "x" * (n - 11),
    "filename": lambda n: "é" * n,
    "name": lambda n: "é" * n,
    "description": lambda n: "é" * n,
    "url": lambda n: "https://a/" + "x" * (n - 10) if n > 9 else "https://"[:n],
}
# Values that a pattern or format rejects, and values that it accepts.
TEXTS: dict[str, tuple[list[str], list[str]]] = {
    "content_type": (
        ["audio", "/mpeg", "audio/", "image/png", "au dio/mpeg", "audio/mpeg;\n", "audio/mpeg; title=é"],
        ["audio/mpeg", "VIDEO/mp4; codecs=x", " audio/mpeg ;"],
    ),
    "filename": (["a\nb", "a\0b", "\x7f", "\x9f"], ["ä b.mp3", "\xa0"]),
    "sha256": (["a" * 63, "a" * 65, "g" * 64, ""], ["a" * 64, "A" * 64]),
    "name": (["a\tb", "   ", "\0"], ["ä b"]),
    "expires_at": (
        [
            "2099-01-01",
            "2099-01-01T00:00:00",
            "tomorrow",
            "2099-W01-1T00:00:00Z",
            "20990101T000000Z",
            "2099-01-01T00:00:00,5Z",
            "2099-01-01T00:00Z",
            "2099-01-01T00:00:00+00:00:30",
            "2099-01-01 00:00:00Z",
            "2099-01-01T00:00:00+0200",
            "2099-01-01T00:00:00.Z",
            "2099-01-01T24:00:00Z",
            "2099-02-29T00:00:00Z",
        ],
        ["2099-01-01T00:00:00+02:00", "2099-01-01t00:00:00.123456789z", "2099-01-01T00:00:00.5-00:00"],
    ),
    "source_asset_id": (["nonsense", "", str(uuid.uuid4())[:-1]], []),
    "description": (["a\nb", "\0"], ["ä"]),
    "url": (
        ["ftp://a.example/", "https://u@a.example/", "https://a.example/#b", "https://a.example/ b"],
        ["HTTPS://a.example", "https://a.example/b?c=d", "https://a.example?b"],
    ),
    "cursor": (["a" * 31, "a" * 33, "é" * 32], []),
}
REQUIRED: dict[str, Json] = {
    "create_upload_url": {"type": "audio"},
    "create_api_key": {"name": "n"},
    "create_webhook_endpoint": {"url": "https://hooks.example.com/", "event_types": ["asset.ready"]},
}


@dataclass(frozen=True)
class Input:
    """A field of a request. `part` is `body` or `query`."""

    operation: str
    part: str
    name: str
    rules: Json

    def __str__(self) -> str:
        return f"{self.operation}-{self.name}"


def rule_of(schema: Json) -> Json:
    """Returns the rules of a field: for a nullable field, the first member of its union."""
    rules: Json = schema.get("anyOf", [schema])[0]
    return rules


def fields() -> Iterator[Input]:
    """Yields every field of every request."""
    for name, (_, _, operation) in described().items():
        for parameter in operation["parameters"]:
            if parameter.get("in") == "query":
                yield Input(name, "query", parameter["name"], parameter["schema"])
        if "requestBody" in operation:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            schema = document()["components"]["schemas"][reference.rpartition("/")[2]]
            for field, given in schema["properties"].items():
                yield Input(name, "body", field, rule_of(given))


def cases(tested: Input) -> Iterator[tuple[Any, bool]]:
    """Yields (value, valid) pairs at the edges of the rules."""
    rules = tested.rules
    if "enum" in rules:
        yield from ((value, True) for value in rules["enum"])
        yield from ((value, False) for value in ("", "nothing", f"{rules['enum'][0]} "))
    if "minimum" in rules:
        yield rules["minimum"], True
        yield rules["minimum"] - 1, False
    if "maximum" in rules:
        yield rules["maximum"], True
        yield rules["maximum"] + 1, False
    if "maxLength" in rules:
        text = LONG[tested.name]
        yield text(rules["maxLength"]), True
        yield text(rules["maxLength"] + 1), False
        if rules["minLength"]:
            yield text(rules["minLength"] - 1), False
    if "pattern" in rules or rules.get("format") in ("uuid", "date-time"):
        rejected_texts, accepted_texts = TEXTS[tested.name]
        yield from ((text, False) for text in rejected_texts)
        yield from ((text, True) for text in accepted_texts)
    if rules["type"] == "array":
        yield from (([value], True) for value in rules["items"]["enum"])
        if "maxItems" in rules:
            yield rules["items"]["enum"][:1] * rules["maxItems"], True
            yield rules["items"]["enum"][:1] * (rules["maxItems"] + 1), False
        yield from ((value, False) for value in ([], ["nothing"], [rules["items"]["enum"][0], ""]))
    if rules["type"] == "object":
        invalid: list[Any] = [{"a": 1}, {"a": None}, {"a\0": ""}, {"a": "\0"}, []]
        yield from ((each, False) for each in invalid)
        yield from ((each, True) for each in ({}, {"a": ""}, {"ä": "b"}))
    if rules["type"] == "boolean":
        yield from ((value, True) for value in (True, False))
        yield "maybe", False


@pytest.fixture
def target(owner: Caller, database: psycopg.Connection[Any]) -> dict[str, str]:
    """The ids of an asset, a key and a webhook endpoint to send requests to."""
    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    asset_id = owner.reserve()["asset"]["id"]
    database.execute(
        "insert into assetdock_private.limits (owner_id, webhook_endpoints, api_keys) values (%s, 1000, 1000)",
        [owner.owner_id],
    )
    hook = owner.create_endpoint("https://hooks.example.com/")
    return {"asset_id": asset_id, "api_key_id": owner.mint_key()["id"], "webhook_endpoint_id": hook["id"]}


def send(owner: Caller, target: dict[str, str], tested: Input, value: Any) -> httpx.Response:
    method, path, _ = described()[tested.operation]
    if tested.name == "wait":
        owner.http.delete(f"/assets/{target['asset_id']}")
    url = owner.project.api_url + path.format(**target)
    if tested.part == "query":
        text = json.dumps(value) if isinstance(value, bool) else str(value)
        return owner.http.request(method, url, params={tested.name: text})
    body = {**REQUIRED.get(tested.operation, {}), tested.name: value}
    return owner.http.request(method, url, content=json.dumps(body), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("tested", list(fields()), ids=str)
def test_service_enforces_the_documented_rule(owner: Caller, target: dict[str, str], tested: Input) -> None:
    for value, valid in cases(tested):
        response = send(owner, target, tested, value)

        if not valid and tested.name == "cursor":
            assert_rejected(response, 400, "bad_request")
        elif not valid:
            error = assert_rejected(response, 422, "validation_error")
            assert all(each["field"].startswith(f"{tested.part}.{tested.name}") for each in error["fields"]), error
        elif tested.name == "size_bytes" and value > 2**40:
            assert_rejected(response, 413, "asset_too_large")  # a limit of the owner, not a rule of the field
        else:
            assert response.status_code == entry(tested.operation).operation.status, response.text
            if tested.operation == "rotate_api_key":
                target["api_key_id"] = owner.mint_key()["id"]  # the previous key may have expired


def test_idempotency_key_has_the_documented_format(owner: Caller) -> None:
    schema = document()["components"]["parameters"]["Idempotency-Key"]["schema"]

    for key, valid in [("!", True), ("~" * schema["maxLength"], True), ("", False), ("x" * 256, False), ("a b", False)]:
        assert (bool(re.search(schema["pattern"], key)) and 1 <= len(key) <= schema["maxLength"]) == valid
        response = owner.http.post("/assets/upload-url", json={"type": "audio"}, headers={"Idempotency-Key": key})
        if valid:
            assert response.status_code == 201
        else:
            error = assert_rejected(response, 422, "validation_error")
            assert [each["field"] for each in error["fields"]] == ["header.idempotency-key"]


def test_every_documented_rule_is_tested_here() -> None:
    known = {*RULES, "type", "description", "default", "items", "additionalProperties", "title"}
    for tested in fields():
        assert set(tested.rules) <= known, tested
        assert list(cases(tested)), tested


def test_documented_defaults_apply(owner: Caller) -> None:
    defaults = {(each.operation, each.name): each.rules["default"] for each in fields() if "default" in each.rules}

    assert owner.http.get("/assets").json()["limit"] == defaults["list_assets", "limit"]
    assert "total" not in owner.http.get("/assets").json()
    assert defaults["list_assets", "include_total"] is False
    assert defaults["create_upload_url", "expires_in"] == defaults["renew_upload_url", "expires_in"] == 900
    assert defaults["rotate_api_key", "overlap_seconds"] == defaults["get_asset", "wait"] == 0
    assert defaults["rotate_webhook_secret", "overlap_seconds"] == 86400
    assert defaults["list_webhook_deliveries", "limit"] == 20
    assert len(defaults) == 8
