"""The rules of fields that the document states: the service accepts their edges and refuses what lies just outside."""

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from tests.callers import Caller, refused
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
# A value that fits all rules of a text but its length, made of this many characters.
LONG: dict[str, Callable[[int], str]] = {
    "content_type": lambda n: "audio/" + "x" * (n - 6) if n > 6 else "x" * n,
    "filename": lambda n: "é" * n,
    "name": lambda n: "é" * n,
    "description": lambda n: "é" * n,
    "url": lambda n: "https://a/" + "x" * (n - 10) if n > 9 else "https://"[:n],
}
# What a pattern, or a format, refuses and accepts.
TEXTS: dict[str, tuple[list[str], list[str]]] = {
    "content_type": (["audio", "/mpeg", "audio/", "image/png", "au dio/mpeg"], ["audio/mpeg", "VIDEO/mp4; codecs=x"]),
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
    """A field of a request. `part` is where it stands: `body` or `query`."""

    operation: str
    part: str
    name: str
    rules: Json

    def __str__(self) -> str:
        return f"{self.operation}-{self.name}"


def rule_of(schema: Json) -> Json:
    """The rules of a field that may be null stand in the other half of the union."""
    rules: Json = schema.get("anyOf", [schema])[0]
    return rules


def fields() -> Iterator[Input]:
    """Every field of every request."""
    for name, (_, _, operation) in described().items():
        for parameter in operation["parameters"]:
            if parameter.get("in") == "query":
                yield Input(name, "query", parameter["name"], parameter["schema"])
        if "requestBody" in operation:
            reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
            schema = document()["components"]["schemas"][reference.rpartition("/")[2]]
            for field, given in schema["properties"].items():
                yield Input(name, "body", field, rule_of(given))


def cases(asked: Input) -> Iterator[tuple[Any, bool]]:
    """(value, whether it is fine) at the edges of the rules."""
    rules = asked.rules
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
        text = LONG[asked.name]
        yield text(rules["maxLength"]), True
        yield text(rules["maxLength"] + 1), False
        if rules["minLength"]:
            yield text(rules["minLength"] - 1), False
    if "pattern" in rules or rules.get("format") in ("uuid", "date-time"):
        refused_texts, accepted_texts = TEXTS[asked.name]
        yield from ((text, False) for text in refused_texts)
        yield from ((text, True) for text in accepted_texts)
    if rules["type"] == "array":
        yield from (([value], True) for value in rules["items"]["enum"])
        if "maxItems" in rules:
            yield rules["items"]["enum"][:1] * rules["maxItems"], True
            yield rules["items"]["enum"][:1] * (rules["maxItems"] + 1), False
        yield from ((value, False) for value in ([], ["nothing"], [rules["items"]["enum"][0], ""]))
    if rules["type"] == "object":
        unfit: list[Any] = [{"a": 1}, {"a": None}, {"a\0": ""}, {"a": "\0"}, []]
        yield from ((each, False) for each in unfit)
        yield from ((each, True) for each in ({}, {"a": ""}, {"ä": "b"}))
    if rules["type"] == "boolean":
        yield from ((value, True) for value in (True, False))
        yield "maybe", False


@pytest.fixture
def target(owner: Caller, database: psycopg.Connection[Any]) -> dict[str, str]:
    """Things to send requests to: an asset that is not waited for, so that `wait` answers at once, and a key."""
    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    asset_id = owner.reserve()["asset"]["id"]
    database.execute(
        "insert into assetdock_private.limits (owner_id, webhook_endpoints, api_keys) values (%s, 1000, 1000)",
        [owner.owner_id],
    )
    hook = owner.hook("https://hooks.example.com/")
    return {"asset_id": asset_id, "api_key_id": owner.mint_key()["id"], "webhook_endpoint_id": hook["id"]}


def ask(owner: Caller, target: dict[str, str], asked: Input, value: Any) -> httpx.Response:
    method, path, _ = described()[asked.operation]
    if asked.name == "wait":
        owner.http.delete(f"/assets/{target['asset_id']}")
    url = owner.project.api_url + path.format(**target)
    if asked.part == "query":
        text = json.dumps(value) if isinstance(value, bool) else str(value)
        return owner.http.request(method, url, params={asked.name: text})
    body = {**REQUIRED.get(asked.operation, {}), asked.name: value}
    return owner.http.request(method, url, content=json.dumps(body), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("asked", list(fields()), ids=str)
def test_a_documented_rule_is_the_rule(owner: Caller, target: dict[str, str], asked: Input) -> None:
    for value, fine in cases(asked):
        answer = ask(owner, target, asked, value)

        if not fine and asked.name == "cursor":
            refused(answer, 400, "bad_request")
        elif not fine:
            error = refused(answer, 422, "validation_error")
            assert all(each["field"].startswith(f"{asked.part}.{asked.name}") for each in error["fields"]), error
        elif asked.name == "size_bytes" and value > 2**40:
            refused(answer, 413, "asset_too_large")  # a rule of the owner's limits, not of the field
        else:
            assert answer.status_code == entry(asked.operation).operation.status, answer.text
            if asked.operation == "rotate_api_key":
                target["api_key_id"] = owner.mint_key()["id"]  # the one before may have ended


def test_an_idempotency_key_has_the_documented_form(owner: Caller) -> None:
    schema = document()["components"]["parameters"]["Idempotency-Key"]["schema"]

    for key, fine in [("!", True), ("~" * schema["maxLength"], True), ("", False), ("x" * 256, False), ("a b", False)]:
        assert (bool(re.search(schema["pattern"], key)) and 1 <= len(key) <= schema["maxLength"]) == fine
        answer = owner.http.post("/assets/upload-url", json={"type": "audio"}, headers={"Idempotency-Key": key})
        if fine:
            assert answer.status_code == 201
        else:
            error = refused(answer, 422, "validation_error")
            assert [each["field"] for each in error["fields"]] == ["header.idempotency-key"]


def test_every_rule_in_the_document_is_one_that_is_tested_here() -> None:
    known = {*RULES, "type", "description", "default", "items", "additionalProperties", "title"}
    for asked in fields():
        assert set(asked.rules) <= known, asked
        assert list(cases(asked)), asked


def test_a_default_that_is_documented_is_the_default(owner: Caller) -> None:
    defaults = {(each.operation, each.name): each.rules["default"] for each in fields() if "default" in each.rules}

    assert owner.http.get("/assets").json()["limit"] == defaults["list_assets", "limit"]
    assert "total" not in owner.http.get("/assets").json()
    assert defaults["list_assets", "include_total"] is False
    assert defaults["create_upload_url", "expires_in"] == defaults["renew_upload_url", "expires_in"] == 900
    assert defaults["rotate_api_key", "overlap_seconds"] == defaults["get_asset", "wait"] == 0
    assert defaults["rotate_webhook_secret", "overlap_seconds"] == 86400
    assert defaults["list_webhook_deliveries", "limit"] == 20
    assert len(defaults) == 8
