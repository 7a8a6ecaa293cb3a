"""The header Idempotency-Key on POST requests that create resources."""

import threading
import uuid
from typing import Any

import httpx
import psycopg
import pytest

from tests.attacks import Record
from tests.callers import BOTH_ENDPOINTS, Caller, assert_rejected

Database = psycopg.Connection[Any]


def post(caller: Caller, path: str, key: str, body: dict[str, Any]) -> httpx.Response:
    return caller.http.post(path, json=body, headers={"Idempotency-Key": key})


def reserve(caller: Caller, key: str, **fields: Any) -> httpx.Response:
    return post(caller, caller.upload_url, key, {"type": "audio", "content_type": "audio/wav", **fields})


def asset_count(database: Database, caller: Caller) -> Any:
    row = database.execute(
        "select count(*) from assetdock_app.assets where owner_id = %s", [caller.owner_id]
    ).fetchone()
    assert row is not None
    return row[0]


@BOTH_ENDPOINTS
def test_a_repeated_request_returns_the_same_asset_and_a_new_upload_target(
    owner: Caller, database: Database, wav: bytes
) -> None:
    first, second = reserve(owner, "k"), reserve(owner, "k", colour="unknown fields are ignored")

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json()["asset"]["id"] == second.json()["asset"]["id"]
    assert asset_count(database, owner) == 1
    assert owner.upload(second.json(), wav).status_code == 200


@BOTH_ENDPOINTS
def test_equivalent_bodies_are_the_same_request(owner: Caller) -> None:
    first = reserve(owner, "k", type="audio_input", metadata={"a": "1", "b": "2"}, sha256="AB" * 32)
    second = reserve(owner, "k", type="audio", metadata={"b": "2", "a": "1"}, sha256="ab" * 32, expires_in=900)

    assert second.status_code == 201
    assert first.json()["asset"]["id"] == second.json()["asset"]["id"]


@BOTH_ENDPOINTS
@pytest.mark.parametrize(
    "change", [{"type": "video"}, {"size_bytes": 5}, {"filename": "b"}, {"metadata": {"a": "b"}}, {"expires_in": 60}]
)
def test_a_different_body_with_the_same_key_is_a_conflict(owner: Caller, change: dict[str, Any]) -> None:
    assert reserve(owner, "k").status_code == 201

    assert_rejected(reserve(owner, "k", **change), 409, "idempotency_conflict")


@BOTH_ENDPOINTS
def test_a_repeated_request_returns_no_upload_target_after_the_bytes_landed(owner: Caller, wav: bytes) -> None:
    first = reserve(owner, "k").json()
    assert owner.upload(first, wav).status_code == 200

    again = reserve(owner, "k")

    assert again.status_code == 201
    assert again.json()["asset"]["id"] == first["asset"]["id"]
    assert again.json()["upload"] is None


@BOTH_ENDPOINTS
def test_a_repeated_request_does_not_recreate_a_deleted_asset(owner: Caller) -> None:
    asset_id = reserve(owner, "k").json()["asset"]["id"]
    owner.http.delete(f"/assets/{asset_id}")

    assert_rejected(reserve(owner, "k"), 410, "upload_expired")


def test_a_repeated_request_is_not_judged_anew(owner: Caller, database: Database, attack: Record) -> None:
    """What the first request passed may no longer hold: the source asset is gone, the limit is lower."""
    database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    source = owner.reserve()["asset"]["id"]
    fields = {
        "type": "rendered_video",
        "content_type": "video/mp4",
        "source_asset_id": source,
        "size_bytes": 1000,
    }
    first = reserve(owner, "k", **fields)
    assert first.status_code == 201, first.text
    owner.http.delete(f"/assets/{source}")
    database.execute("update assetdock_app.assets set source_asset_id = null where source_asset_id = %s", [source])
    database.execute("delete from assetdock_app.assets where id = %s", [source])
    database.execute("insert into assetdock_private.limits (owner_id, asset_bytes) values (%s, 10)", [owner.owner_id])

    again = reserve(owner, "k", **fields)

    attack(
        "10 a repeated request, after its source was deleted and the limit lowered",
        before="422, 413",
        now=str(again.status_code),
        bound="201, the same asset",
    )
    assert again.status_code == 201, again.text
    assert again.json()["asset"]["id"] == first.json()["asset"]["id"]


@BOTH_ENDPOINTS
def test_a_repeated_request_for_an_asset_whose_row_is_removed_is_expired(owner: Caller, database: Database) -> None:
    asset_id = reserve(owner, "k").json()["asset"]["id"]
    owner.http.delete(f"/assets/{asset_id}")
    database.execute("delete from assetdock_app.assets where id = %s", [asset_id])

    assert_rejected(reserve(owner, "k"), 410, "upload_expired")


def test_a_repeated_rotation_says_that_it_succeeded(owner: Caller) -> None:
    """And not that the old key, which it revoked, is revoked."""
    key = owner.mint_key()
    rotations = [
        owner.http.post(f"/api-keys/{key['id']}/rotate", json={}, headers={"Idempotency-Key": "rotate"})
        for _ in range(2)
    ]

    assert rotations[0].status_code == 201
    assert "already succeeded" in assert_rejected(rotations[1], 409, "conflict")["message"]


def test_a_rejected_request_claims_no_key(owner: Caller) -> None:
    assert_rejected(reserve(owner, "k", type="nonsense"), 422, "validation_error")

    assert reserve(owner, "k").status_code == 201


@BOTH_ENDPOINTS
def test_ten_concurrent_equal_requests_create_one_asset(owner: Caller, database: Database) -> None:
    responses: list[httpx.Response] = []
    barrier = threading.Barrier(10)

    def attempt() -> None:
        barrier.wait()
        responses.append(reserve(owner, "concurrent"))

    threads = [threading.Thread(target=attempt) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["asset"]["id"] for response in responses}) == 1
    assert asset_count(database, owner) == 1


@BOTH_ENDPOINTS
def test_a_retry_completes_an_attempt_that_failed_between_database_and_storage(
    owner: Caller, database: Database, wav: bytes
) -> None:
    """The direct call of create_upload leaves what a failed attempt leaves: the asset and the idempotency key."""
    headers = {
        "apikey": owner.project.publishable_key,
        "Authorization": f"Bearer {owner.credential}",
        "Content-Profile": "assetdock",
    }
    body = {"type": "audio", "content_type": "audio/wav", "idempotency_key": "failed"}
    failed = httpx.post(f"{owner.project.supabase_url}/rest/v1/rpc/create_upload", headers=headers, json=body)
    assert failed.status_code == 200

    again = reserve(owner, "failed")

    assert again.json()["asset"]["id"] == failed.json()["asset"]["id"]
    assert owner.upload(again.json(), wav).status_code == 200
    assert asset_count(database, owner) == 1


@BOTH_ENDPOINTS
def test_idempotency_keys_belong_to_an_owner_and_expire_after_a_day(
    owner: Caller, stranger: Caller, database: Database
) -> None:
    first = reserve(owner, "k").json()["asset"]["id"]
    stranger.upload_url = owner.upload_url
    assert reserve(stranger, "k").json()["asset"]["id"] != first
    assert (
        owner.key_holder()
        .http.post(
            "/assets/upload-url", json={"type": "audio", "content_type": "audio/wav"}, headers={"Idempotency-Key": "k"}
        )
        .json()["asset"]["id"]
        == first
    )

    database.execute(
        "update assetdock_private.idempotency_keys set claimed_at = now() - interval '24 hours 1 s'"
        " where owner_id = %s",
        [owner.owner_id],
    )

    assert reserve(owner, "k", type="video", content_type="video/mp4").status_code == 201


@BOTH_ENDPOINTS
@pytest.mark.parametrize("key", ["", "two words", "x" * 256, "é", "tab\there"])
def test_rejects_malformed_idempotency_keys(owner: Caller, key: str) -> None:
    response = owner.http.post(
        owner.upload_url, json={"type": "audio"}, headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )

    error = assert_rejected(response, 422, "validation_error")
    assert error["fields"][0]["field"] == "header.idempotency-key"


@BOTH_ENDPOINTS
def test_rejects_repeated_idempotency_key_headers(owner: Caller) -> None:
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]

    error = assert_rejected(
        owner.http.post(owner.upload_url, json={"type": "audio"}, headers=headers), 422, "validation_error"
    )
    assert error["fields"][0]["field"] == "header.idempotency-key"


def test_a_repeated_creation_of_an_api_key_is_a_conflict(owner: Caller) -> None:
    created = post(owner, "/api-keys", "mint", {"name": "n"})

    assert_rejected(post(owner, "/api-keys", "mint", {"name": "n"}), 409, "conflict")
    assert_rejected(post(owner, "/api-keys", "mint", {"name": "other"}), 409, "idempotency_conflict")
    rotate = f"/api-keys/{created.json()['id']}/rotate"
    assert post(owner, rotate, str(uuid.uuid4()), {"overlap_seconds": 60}).status_code == 201
    assert len(owner.http.get("/api-keys").json()["items"]) == 2


def test_a_repeated_rotation_is_a_conflict_and_rotates_once(owner: Caller) -> None:
    key = owner.mint_key()

    assert post(owner, f"/api-keys/{key['id']}/rotate", "r", {}).status_code == 201
    assert_rejected(post(owner, f"/api-keys/{key['id']}/rotate", "r", {}), 409, "conflict")
    assert len(owner.http.get("/api-keys").json()["items"]) == 2
