"""Webhook endpoints over HTTP. test_access.py tests access, tests/acceptance/test_webhooks.py tests deliveries."""

import base64
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from tests.callers import Caller, assert_rejected

URL = "https://hooks.invalid/assetdock?tenant=7"
FIELDS = {"url": URL, "event_types": ["asset.ready"]}
Database = psycopg.Connection[Any]


def test_a_new_endpoint_shows_its_secret_once(owner: Caller) -> None:
    response = owner.http.post(
        "/webhook-endpoints",
        json={"url": URL, "event_types": ["asset.failed", "asset.ready", "asset.failed"], "description": "prod"},
    )

    endpoint = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/webhook-endpoints/{endpoint['id']}"
    secret = endpoint.pop("secret")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert endpoint == {
        "id": endpoint["id"],
        "url": URL,
        "event_types": ["asset.ready", "asset.failed"],
        "description": "prod",
        "state": "enabled",
        "created_at": endpoint["created_at"],
        "failing_since": None,
        "disabled_at": None,
        "disabled_reason": None,
    }
    assert owner.http.get(f"/webhook-endpoints/{endpoint['id']}").json() == endpoint
    assert owner.http.get("/webhook-endpoints").json() == {"items": [endpoint]}


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"url": "http://hooks.example.com/"}, "body.url"),
        ({"url": "ftp://hooks.example.com/"}, "body.url"),
        ({"url": "https://user:pass@hooks.example.com/"}, "body.url"),
        ({"url": "https://user@hooks.example.com/"}, "body.url"),
        ({"url": "https://hooks.example.com/#part"}, "body.url"),
        ({"url": "https://hooks.example.com/\\evil"}, "body.url"),
        ({"url": "https://hooks.example.com/a b"}, "body.url"),
        ({"url": "https://hooks.example.com/]"}, "body.url"),
        ({"url": "https://hooks.example.com/?ids[]=1"}, "body.url"),
        ({"url": "https://hooks.example.com/<a|b>"}, "body.url"),
        ({"url": "https://hooks.example.com/100%"}, "body.url"),
        ({"url": "https://hooks.example.com/%zz"}, "body.url"),
        ({"url": "https://[::1::2]/"}, "body.url"),
        ({"url": "https://[1.2.3.4]/"}, "body.url"),
        ({"url": "https://hooks.example.com/\n"}, "body.url"),
        ({"url": "https://hööks.example.com/"}, "body.url"),
        ({"url": "https://hooks.example.com:0/"}, "body.url"),
        ({"url": "https://hooks.example.com:65536/"}, "body.url"),
        ({"url": "https://hooks.example.com:x/"}, "body.url"),
        ({"url": "https://[fe80::1%25eth0]/"}, "body.url"),
        ({"url": "https:///path"}, "body.url"),
        ({"url": "https://"}, "body.url"),
        ({"url": ""}, "body.url"),
        ({"url": None}, "body.url"),
        ({"url": "https://hooks.example.com/" + "x" * 2030}, "body.url"),
        ({"event_types": []}, "body.event_types"),
        ({"event_types": ["asset.eaten"]}, "body.event_types"),
        ({"event_types": ["webhook.test"]}, "body.event_types"),
        ({"event_types": [None]}, "body.event_types.0"),
        ({"event_types": "asset.ready"}, "body.event_types"),
        ({"description": "x" * 256}, "body.description"),
        ({"description": "a\nb"}, "body.description"),
    ],
)
def test_names_an_invalid_field(owner: Caller, fields: dict[str, Any], wrong: str) -> None:
    error = assert_rejected(owner.http.post("/webhook-endpoints", json={**FIELDS, **fields}), 422, "validation_error")

    assert [each["field"] for each in error["fields"]] == [wrong]


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "HTTPS://Hooks.Example.com:8443/x?y=@z",
        "https://hooks.example.com?x=1",
        "https://[2606:4700::1111]:444/",
        "https://" + "x" * 63 + ".example/" + "y" * 1900,
    ],
)
def test_keeps_an_https_url_unchanged(owner: Caller, url: str) -> None:
    assert owner.create_endpoint(url)["url"] == url


def test_two_missing_fields_are_both_named(owner: Caller) -> None:
    error = assert_rejected(owner.http.post("/webhook-endpoints", json={}), 422, "validation_error")

    assert [each["field"] for each in error["fields"]] == ["body.url", "body.event_types"]


def test_accepts_plain_http_only_for_loopback_and_only_if_enabled(owner: Caller, database: Database) -> None:
    local = {**FIELDS, "url": "http://127.0.0.1:9/"}
    assert_rejected(owner.http.post("/webhook-endpoints", json=local), 422, "validation_error")
    database.execute("update assetdock_private.settings set loopback_webhooks = true")
    try:
        for url in ("http://127.0.0.1:9/", "http://localhost:9/", "http://[::1]:9/"):
            assert owner.http.post("/webhook-endpoints", json={**FIELDS, "url": url}).status_code == 201
        for url in ("http://hooks.example.com/", "http://127.0.0.1.example.com/", "http://10.0.0.1/"):
            assert_rejected(owner.http.post("/webhook-endpoints", json={**FIELDS, "url": url}), 422, "validation_error")
    finally:
        database.execute("update assetdock_private.settings set loopback_webhooks = false")


def test_an_owner_has_ten_endpoints_unless_a_limit_says_otherwise(owner: Caller) -> None:
    endpoints = [owner.create_endpoint(URL) for _ in range(10)]

    assert_rejected(owner.http.post("/webhook-endpoints", json=FIELDS), 409, "conflict")
    assert owner.http.delete(f"/webhook-endpoints/{endpoints[0]['id']}").status_code == 204
    assert owner.create_endpoint(URL)


def test_a_deleted_endpoint_is_gone_and_deleting_is_idempotent(owner: Caller, database: Database) -> None:
    endpoint_id = owner.create_endpoint(URL)["id"]
    path = f"/webhook-endpoints/{endpoint_id}"

    for _ in range(2):
        response = owner.http.delete(path)
        assert (response.status_code, response.content) == (204, b"")

    assert_rejected(owner.http.get(path), 404, "not_found")
    assert_rejected(owner.http.post(f"{path}/test"), 404, "not_found")
    assert_rejected(owner.http.post(f"{path}/rotate-secret"), 404, "not_found")
    assert_rejected(owner.http.get(f"{path}/deliveries"), 404, "not_found")
    assert owner.http.get("/webhook-endpoints").json() == {"items": []}
    left = database.execute(
        "select count(*) from assetdock_private.webhook_secrets where webhook_endpoint_id = %s", [endpoint_id]
    ).fetchone()
    assert left == (0,)


def test_a_repeated_creation_is_a_conflict_because_the_secret_is_shown_once(owner: Caller) -> None:
    headers = {"Idempotency-Key": "k1"}
    assert owner.http.post("/webhook-endpoints", json=FIELDS, headers=headers).status_code == 201

    assert_rejected(owner.http.post("/webhook-endpoints", json=FIELDS, headers=headers), 409, "conflict")
    other = {**FIELDS, "description": "other"}
    assert_rejected(owner.http.post("/webhook-endpoints", json=other, headers=headers), 409, "idempotency_conflict")
    assert len(owner.http.get("/webhook-endpoints").json()["items"]) == 1


def test_a_repeated_rotation_is_a_conflict_and_a_repeated_test_is_the_same_test(owner: Caller) -> None:
    path = f"/webhook-endpoints/{owner.create_endpoint(URL)['id']}"
    headers = {"Idempotency-Key": "k2"}

    assert owner.http.post(f"{path}/rotate-secret", headers=headers).status_code == 200
    assert_rejected(owner.http.post(f"{path}/rotate-secret", headers=headers), 409, "conflict")
    first, second = (owner.http.post(f"{path}/test", headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    malformed = owner.http.post(f"{path}/test", headers={"Idempotency-Key": "a b"})
    error = assert_rejected(malformed, 422, "validation_error")
    assert error["fields"][0]["field"] == "header.idempotency-key"


@pytest.mark.parametrize(("body", "days"), [(None, 1), ({}, 1), ({"overlap_seconds": 604800}, 7)])
def test_a_rotation_shows_a_new_secret_and_when_the_old_one_ends(
    owner: Caller, database: Database, body: dict[str, int] | None, days: int
) -> None:
    endpoint = owner.create_endpoint(URL)

    response = owner.http.post(f"/webhook-endpoints/{endpoint['id']}/rotate-secret", json=body)

    rotated = response.json()
    assert response.status_code == 200
    assert rotated["secret"] != endpoint["secret"]
    row = database.execute(
        "select secret, previous_secret, round(extract(epoch from previous_until - now()) / 86400)"
        " from assetdock_private.webhook_secrets where webhook_endpoint_id = %s",
        [endpoint["id"]],
    ).fetchone()
    assert row == (rotated["secret"], endpoint["secret"], days)
    assert rotated["previous_secret_expires_at"].endswith("Z")


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(owner: Caller, database: Database) -> None:
    endpoint = owner.create_endpoint(URL)

    response = owner.http.post(f"/webhook-endpoints/{endpoint['id']}/rotate-secret", json={"overlap_seconds": 0})

    assert response.json()["previous_secret_expires_at"] is None
    row = database.execute(
        "select previous_secret from assetdock_private.webhook_secrets where webhook_endpoint_id = %s", [endpoint["id"]]
    ).fetchone()
    assert row == (None,)


@pytest.mark.parametrize("seconds", [-1, 604801, "60", 1.5])
def test_an_overlap_is_a_number_of_seconds_up_to_a_week(owner: Caller, seconds: Any) -> None:
    path = f"/webhook-endpoints/{owner.create_endpoint(URL)['id']}/rotate-secret"

    error = assert_rejected(owner.http.post(path, json={"overlap_seconds": seconds}), 422, "validation_error")

    assert [each["field"] for each in error["fields"]] == ["body.overlap_seconds"]


def test_deliveries_come_in_pages_newest_first(owner: Caller, database: Database, stranger: Caller) -> None:
    path = f"/webhook-endpoints/{owner.create_endpoint(URL)['id']}/deliveries"
    made = [owner.send_test_event(path.split("/")[2])["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = None
    for size in (2, 2, 1):
        page = owner.http.get(path, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        assert (len(page["items"]), page["limit"]) == (size, 2)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]

    assert cursor is None
    assert seen == made[::-1]
    assert_rejected(owner.http.get(path, params={"cursor": "nonsense"}), 400, "bad_request")
    for limit in ("0", "101", "x"):
        error = assert_rejected(owner.http.get(path, params={"limit": limit}), 422, "validation_error")
        assert [each["field"] for each in error["fields"]] == ["query.limit"]


def test_at_most_five_test_deliveries_are_pending(owner: Caller, paused_worker: None) -> None:
    endpoint = owner.create_endpoint(URL)["id"]
    for _ in range(5):
        owner.send_test_event(endpoint)

    assert_rejected(owner.http.post(f"/webhook-endpoints/{endpoint}/test"), 409, "conflict")


def test_a_signed_out_session_cannot_create_endpoints_or_secrets(owner: Caller) -> None:
    endpoint = owner.create_endpoint(URL)["id"]
    response = httpx.post(
        f"{owner.project.supabase_url}/auth/v1/logout?scope=global",
        headers={"apikey": owner.project.publishable_key, "Authorization": f"Bearer {owner.credential}"},
    )
    assert response.status_code == 204

    assert_rejected(owner.http.post("/webhook-endpoints", json=FIELDS), 401, "unauthenticated")
    assert_rejected(owner.http.post(f"/webhook-endpoints/{endpoint}/rotate-secret"), 401, "unauthenticated")


def test_deleted_endpoints_count_towards_ten_times_the_limit(owner: Caller, database: Database) -> None:
    database.execute(
        "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1)", [owner.owner_id]
    )
    for _ in range(10):
        assert owner.http.delete(f"/webhook-endpoints/{owner.create_endpoint(URL)['id']}").status_code == 204

    error = assert_rejected(owner.http.post("/webhook-endpoints", json=FIELDS), 409, "conflict")

    assert "including deleted ones" in error["message"]


def test_an_anonymous_user_cannot_have_endpoints(owner: Caller, database: Database) -> None:
    database.execute("update auth.users set is_anonymous = true where id = %s", [owner.owner_id])

    assert_rejected(owner.http.post("/webhook-endpoints", json=FIELDS), 403, "forbidden")


def test_a_delivery_is_replayed_only_through_its_own_endpoint(owner: Caller) -> None:
    one, other = owner.create_endpoint(URL)["id"], owner.create_endpoint(URL)["id"]
    delivery = owner.send_test_event(one)["id"]

    assert_rejected(owner.http.post(f"/webhook-endpoints/{other}/deliveries/{delivery}/replay"), 404, "not_found")
    assert_rejected(owner.http.post(f"/webhook-endpoints/{one}/deliveries/{uuid.uuid4()}/replay"), 404, "not_found")
    replayed = owner.http.post(f"/webhook-endpoints/{one}/deliveries/{delivery}/replay")
    assert (replayed.status_code, replayed.json()["id"], replayed.json()["state"]) == (202, delivery, "pending")


def test_a_delivery_of_a_disabled_endpoint_is_not_replayed(owner: Caller, database: Database) -> None:
    endpoint = owner.create_endpoint(URL)["id"]
    row = database.execute(
        "insert into assetdock_private.webhook_deliveries (webhook_endpoint_id, event_type, occurred_at, data)"
        " values (%s, 'asset.ready', now(), '{}') returning id",
        [endpoint],
    ).fetchone()
    assert row is not None
    database.execute(
        "update assetdock_app.webhook_endpoints set disabled_at = now(), disabled_reason = 'gone' where id = %s",
        [endpoint],
    )

    assert_rejected(owner.http.post(f"/webhook-endpoints/{endpoint}/deliveries/{row[0]}/replay"), 409, "conflict")
    assert owner.http.get(f"/webhook-endpoints/{endpoint}").json()["state"] == "disabled"
