"""POST /api-keys and DELETE /api-keys/{id}."""

from typing import Any

import psycopg
import pytest

from assetdock_server.identity import api_key
from tests.callers import Caller, assert_rejected


def test_creation_returns_the_plaintext_and_stores_only_its_digest(
    owner: Caller, database: psycopg.Connection[Any]
) -> None:
    response = owner.http.post("/api-keys", json={"name": "ci"})

    key = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/api-keys/{key['id']}"
    assert api_key.is_well_formed(key["plaintext"])
    assert key == {
        "id": key["id"],
        "name": "ci",
        "prefix": key["plaintext"][:16],
        "scopes": ["assets:read", "assets:write"],
        "created_at": key["created_at"],
        "expires_at": None,
        "last_used_at": None,
        "revoked_at": None,
        "created_by": "session",
        "plaintext": key["plaintext"],
    }
    stored = database.execute(
        "select encode(sha256, 'hex') from assetdock_private.api_key_secrets where api_key_id = %s", [key["id"]]
    ).fetchone()
    assert stored == (api_key.digest(key["plaintext"]),)


@pytest.mark.parametrize(
    ("fields", "invalid"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "   "}, "body.name"),
        ({"name": "x" * 121}, "body.name"),
        ({"name": "a\tb"}, "body.name"),
        ({"name": "a\0b"}, "body.name"),
        ({"name": None}, "body.name"),
        ({"scopes": []}, "body.scopes"),
        ({"scopes": ["assets:fly"]}, "body.scopes"),
        ({"scopes": "assets:read"}, "body.scopes"),
        ({"scopes": [1]}, "body.scopes.0"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "body.expires_at"),
        ({"expires_at": "tomorrow"}, "body.expires_at"),
        ({"expires_at": "9999-99-99T00:00:00Z"}, "body.expires_at"),
        ({"expires_at": 1900000000}, "body.expires_at"),
    ],
)
def test_errors_name_the_invalid_field(owner: Caller, fields: dict[str, Any], invalid: str) -> None:
    error = assert_rejected(owner.http.post("/api-keys", json={"name": "n", **fields}), 422, "validation_error")

    assert [each["field"] for each in error["fields"]] == [invalid]


def test_revocation_takes_effect_at_the_next_request(owner: Caller) -> None:
    key = owner.mint_key()
    holder = Caller(owner.project, key["plaintext"], owner.owner_id)
    assert holder.http.get("/assets").status_code == 200

    revoked = owner.http.delete(f"/api-keys/{key['id']}")

    assert (revoked.status_code, revoked.content) == (204, b"")
    assert_rejected(holder.http.get("/assets"), 401, "unauthenticated")
    assert owner.http.delete(f"/api-keys/{key['id']}").status_code == 204  # idempotent


def test_keys_that_a_revoked_key_created_or_rotated_stay_valid_and_name_it(owner: Caller) -> None:
    stolen = owner.mint_key(scopes=["assets:read", "api_keys:write"])
    thief = Caller(owner.project, stolen["plaintext"], owner.owner_id)
    other = owner.mint_key(scopes=["assets:read"])
    made = thief.mint_key(scopes=["assets:read"])
    rotated = thief.http.post(f"/api-keys/{other['id']}/rotate").json()

    owner.http.delete(f"/api-keys/{stolen['id']}")

    listed = owner.http.get("/api-keys").json()["items"]
    assert {key["id"] for key in listed if key["created_by"] == stolen["prefix"]} == {made["id"], rotated["id"]}
    assert {key["id"] for key in listed if key["created_by"] == "session"} == {stolen["id"], other["id"]}
    assert Caller(owner.project, made["plaintext"], owner.owner_id).http.get("/assets").status_code == 200


def test_expired_keys_are_rejected(owner: Caller, database: psycopg.Connection[Any]) -> None:
    key = owner.mint_key(expires_at="2099-01-01T00:00:00+02:00")
    holder = Caller(owner.project, key["plaintext"], owner.owner_id)
    assert key["expires_at"] == "2098-12-31T22:00:00.000000Z"
    assert holder.http.get("/assets").status_code == 200

    database.execute("update assetdock_app.api_keys set expires_at = now() where id = %s", [key["id"]])

    assert_rejected(holder.http.get("/assets"), 401, "unauthenticated")


def test_callers_cannot_revoke_keys_of_other_owners(owner: Caller, stranger: Caller) -> None:
    key = owner.mint_key()

    assert_rejected(stranger.http.delete(f"/api-keys/{key['id']}"), 404, "not_found")
    assert Caller(owner.project, key["plaintext"], owner.owner_id).http.get("/assets").status_code == 200


@pytest.mark.parametrize("key_id", ["nonsense", "019de7f7-3a52-74d1-9eeb-323e0bfb7bb9"])
def test_revoking_a_nonexistent_key_is_not_found(owner: Caller, key_id: str) -> None:
    assert_rejected(owner.http.delete(f"/api-keys/{key_id}"), 404, "not_found")


def test_keys_without_the_scope_of_a_route_are_rejected(owner: Caller) -> None:
    reader = owner.key_holder(scopes=["assets:read"])

    assert reader.http.get("/assets").status_code == 200
    error = assert_rejected(reader.http.post("/assets/upload-url", json={"type": "audio"}), 403, "insufficient_scope")
    assert "assets:write" in error["message"]
    assert_rejected(reader.http.post("/api-keys", json={"name": "n"}), 403, "insufficient_scope")


def test_keys_cannot_grant_scopes_that_they_lack(owner: Caller) -> None:
    minter = owner.key_holder(scopes=["assets:read", "api_keys:write"])

    error = assert_rejected(minter.http.post("/api-keys", json={"name": "n"}), 403, "insufficient_scope")

    assert "assets:write" in error["message"]
    assert minter.mint_key(scopes=["assets:read"])["scopes"] == ["assets:read"]


def test_only_allowed_owners_can_create_keys_with_the_scope_assets_produce(
    owner: Caller, database: psycopg.Connection[Any]
) -> None:
    assert_rejected(
        owner.http.post("/api-keys", json={"name": "n", "scopes": ["assets:produce"]}), 403, "insufficient_scope"
    )

    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])

    producer = owner.key_holder(scopes=["assets:produce", "assets:write"])
    made = producer.reserve(type="cut_file", content_type="application/x-subrip")
    assert made["asset"]["type"] == "cut_file"


def test_anonymous_users_cannot_create_keys(owner: Caller, database: psycopg.Connection[Any]) -> None:
    database.execute("update auth.users set is_anonymous = true where id = %s", [owner.owner_id])

    assert_rejected(owner.http.post("/api-keys", json={"name": "n"}), 403, "forbidden")
