"""Regression tests for the vulnerabilities that a security review found."""

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from assetdock_server.routes.long_polling import MAX_WAITING_PER_OWNER, LongPolling
from devstack.stack import Stack
from tests.callers import Caller, assert_rejected
from tests.catalogue import Database
from tests.polling import until
from tests.processes import WorkerProcess


def sign_out(caller: Caller) -> None:
    response = httpx.post(
        f"{caller.project.supabase_url}/auth/v1/logout?scope=global",
        headers={"apikey": caller.project.publishable_key, "Authorization": f"Bearer {caller.credential}"},
    )
    assert response.status_code == 204


def test_a_signed_out_session_cannot_create_or_rotate_keys_and_existing_keys_stay_valid(owner: Caller) -> None:
    key = owner.mint_key()
    sign_out(owner)

    assert_rejected(owner.http.post("/api-keys", json={"name": "n"}), 401, "unauthenticated")
    assert_rejected(owner.http.post(f"/api-keys/{key['id']}/rotate"), 401, "unauthenticated")
    assert Caller(owner.project, key["plaintext"], owner.owner_id).http.get("/assets").status_code == 200


def test_a_key_created_with_a_key_expires_no_later_than_its_parent(owner: Caller, database: Database) -> None:
    expires_at = "2099-01-01T00:00:00.000000Z"
    parent = owner.mint_key(scopes=["assets:read", "api_keys:write"], expires_at=expires_at)
    key_holder = Caller(owner.project, parent["plaintext"], owner.owner_id)

    for requested in ({}, {"expires_at": "2199-01-01T00:00:00Z"}):
        child = key_holder.mint_key(scopes=["assets:read"], **requested)
        assert child["expires_at"] == expires_at
        created_by = database.execute(
            "select created_by from assetdock_app.api_keys where id = %s", [child["id"]]
        ).fetchone()
        assert created_by == (parent["prefix"],)
    assert key_holder.mint_key(scopes=["assets:read"], expires_at="2098-01-01T00:00:00Z")["expires_at"] < expires_at


def test_a_key_can_rotate_itself(owner: Caller) -> None:
    key = owner.mint_key(scopes=["assets:read", "api_keys:write"])
    key_holder = Caller(owner.project, key["plaintext"], owner.owner_id)

    rotated = key_holder.http.post(f"/api-keys/{key['id']}/rotate")

    assert rotated.status_code == 201
    assert Caller(owner.project, rotated.json()["plaintext"], owner.owner_id).http.get("/assets").status_code == 200
    assert_rejected(key_holder.http.get("/assets"), 401, "unauthenticated")


def test_creating_a_key_with_a_key_fails_if_that_key_is_revoked_meanwhile(owner: Caller, stack: Stack) -> None:
    key = owner.mint_key(scopes=["assets:read", "api_keys:write"])
    key_holder = Caller(owner.project, key["plaintext"], owner.owner_id)
    responses: list[httpx.Response] = []
    with psycopg.connect(stack.db_url) as blocker, psycopg.connect(stack.db_url, autocommit=True) as watcher:
        blocker.execute(
            "select pg_advisory_xact_lock(hashtextextended('assetdock.api_keys ' || %s, 0))", [owner.owner_id]
        )
        body = {"name": "n", "scopes": ["assets:read"]}
        minting = threading.Thread(target=lambda: responses.append(key_holder.http.post("/api-keys", json=body)))
        minting.start()
        waiting = "select from pg_locks where locktype = 'advisory' and not granted"
        until(lambda: watcher.execute(waiting).fetchone() is not None, "the creation to wait for the lock")
        assert owner.http.delete(f"/api-keys/{key['id']}").status_code == 204
        blocker.rollback()
        minting.join()

    assert_rejected(responses[0], 401, "unauthenticated")
    assert len(owner.http.get("/api-keys").json()["items"]) == 1


def test_reopening_an_upload_window_counts_as_a_pending_upload(owner: Caller, database: Database) -> None:
    database.execute(
        "insert into assetdock_private.limits (owner_id, pending_uploads) values (%s, 1)", [owner.owner_id]
    )

    def reserve(idempotency_key: str) -> httpx.Response:
        headers = {"Idempotency-Key": idempotency_key}
        return owner.http.post("/assets/upload-url", json={"type": "audio"}, headers=headers)

    ids = []
    for n in range(3):
        ids.append(reserve(f"k{n}").json()["asset"]["id"])
        database.execute("update assetdock_app.assets set upload_expires_at = now() where id = %s", [ids[-1]])

    assert owner.http.post(f"/assets/{ids[0]}/upload-url").status_code == 200
    assert_rejected(owner.http.post(f"/assets/{ids[1]}/upload-url"), 429, "too_many_pending_uploads")
    assert_rejected(reserve("k2"), 429, "too_many_pending_uploads")
    assert owner.http.post(f"/assets/{ids[0]}/upload-url").status_code == 200  # its own window is still open


def test_the_rate_of_reservations_is_limited_for_callers_who_bypass_the_service(
    owner: Caller, database: Database
) -> None:
    database.execute(
        "insert into assetdock_private.limits (owner_id, reservations_per_minute) values (%s, 3)", [owner.owner_id]
    )
    headers = {
        "apikey": owner.project.publishable_key,
        "Authorization": f"Bearer {owner.credential}",
        "Content-Profile": "assetdock",
    }

    responses = [
        httpx.post(f"{owner.project.supabase_url}/rest/v1/rpc/create_upload", headers=headers, json={"type": "audio"})
        for _ in range(4)
    ]

    assert [response.status_code for response in responses] == [200, 200, 200, 429]
    assert responses[3].json()["code"] == "rate_limited"
    assert responses[3].headers["retry-after"] == "60"


@pytest.mark.usefixtures("worker")
def test_a_strangers_sign_request_gets_the_same_response_for_every_state_of_an_asset(
    owner: Caller, stranger: Caller, wav: bytes
) -> None:
    pending, deleted, ready = owner.reserve()["asset"]["id"], owner.reserve()["asset"]["id"], owner.land(wav)
    owner.http.delete(f"/assets/{deleted}")
    owner.wait_until_finished(ready)
    unknown = "01a20b72-3242-7498-b956-5e38783c70d2"

    def sign(asset_id: str, credential: str | None) -> Any:
        headers = {"apikey": owner.project.publishable_key}
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        url = f"{owner.project.supabase_url}/storage/v1/object/upload/sign/assets/{asset_id}"
        return httpx.post(url, headers=headers, json={}).json()

    for credential in (None, stranger.credential):
        assert len({str(sign(asset_id, credential)) for asset_id in (pending, deleted, ready, unknown)}) == 1


def test_a_body_with_thousands_of_invalid_entries_gets_a_short_response(owner: Caller) -> None:
    for body in (
        {"name": "n", "scopes": [1] * 20_000},
        {"name": "n", "scopes": [[[]]] * 5_000},
    ):
        response = owner.http.post("/api-keys", json=body)
        assert_rejected(response, 422, "validation_error")
        assert len(response.content) < 10_000
    metadata = {str(n): 1 for n in range(5_000)}
    response = owner.http.post("/assets/upload-url", json={"type": "audio", "metadata": metadata})
    assert_rejected(response, 422, "validation_error")
    assert len(response.content) < 10_000


@pytest.mark.parametrize("number", ["--5", "-", "5-", "+5", "\u0665", "1e3", "0x1", " 5"])
def test_a_malformed_integer_parameter_is_a_validation_error(owner: Caller, number: str) -> None:
    assert_rejected(owner.http.get("/assets", params={"limit": number}), 422, "validation_error")
    asset_id = owner.reserve()["asset"]["id"]
    assert_rejected(owner.http.get(f"/assets/{asset_id}", params={"wait": number}), 422, "validation_error")


def test_one_owner_cannot_occupy_the_whole_waiting_room() -> None:
    async def nothing_settles(_: list[str]) -> list[str]:
        return []

    async def scenario() -> None:
        room = LongPolling(nothing_settles, is_stopping=lambda: False)
        crowded = [asyncio.create_task(room.wait("asset", "owner", 60)) for _ in range(MAX_WAITING_PER_OWNER)]
        await asyncio.sleep(0)
        await asyncio.wait_for(room.wait("asset", "owner", 60), 5)  # the owner's share is full: returns at once
        other = asyncio.create_task(room.wait("another", "stranger", 60))
        await asyncio.sleep(0.3)
        assert not other.done()
        for task in (*crowded, other):
            task.cancel()
        await asyncio.gather(*crowded, other, return_exceptions=True)
        freed = asyncio.create_task(room.wait("asset", "owner", 60))
        await asyncio.sleep(0.3)
        assert not freed.done()  # cancelled requests gave their places back
        freed.cancel()
        await asyncio.gather(freed, return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_processes_of_the_workers_user_cannot_read_its_token(worker: WorkerProcess) -> None:
    """An exploit of ffprobe runs as the worker's user. Root can read every file, so the file's owner counts."""
    owner_of_secrets = Path(f"/proc/{worker.pid}/environ").stat().st_uid

    assert owner_of_secrets == 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            Path(f"/proc/{worker.pid}/environ").read_bytes()
    # For a worker that runs as root, only its own log event tells that it disabled dumping.
    assert "dumping_disabled" in worker.output
