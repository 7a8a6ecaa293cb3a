"""Holes that a review with fresh eyes found: each stays closed."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from assetdock_server.routes.waiting import PLACES_OF_AN_OWNER, WaitingRoom
from devstack.stack import Stack
from tests.callers import Caller, refused
from tests.polling import until
from tests.processes import WorkerProcess

Database = psycopg.Connection[Any]
Sign = Callable[[dict[str, Any]], str]


def sign_out(caller: Caller) -> None:
    answer = httpx.post(
        f"{caller.project.supabase_url}/auth/v1/logout?scope=global",
        headers={"apikey": caller.project.publishable_key, "Authorization": f"Bearer {caller.credential}"},
    )
    assert answer.status_code == 204


def test_a_signed_out_session_leaves_no_key_behind(owner: Caller) -> None:
    key = owner.mint_key()
    sign_out(owner)

    refused(owner.http.post("/api-keys", json={"name": "n"}), 401, "unauthenticated")
    refused(owner.http.post(f"/api-keys/{key['id']}/rotate"), 401, "unauthenticated")
    assert Caller(owner.project, key["plaintext"], owner.owner_id).http.get("/assets").status_code == 200


def test_a_key_that_ends_leaves_none_behind_that_does_not(owner: Caller, database: Database) -> None:
    ends = "2099-01-01T00:00:00.000000Z"
    parent = owner.mint_key(scopes=["assets:read", "api_keys:write"], expires_at=ends)
    holder = Caller(owner.project, parent["plaintext"], owner.owner_id)

    for wish in ({}, {"expires_at": "2199-01-01T00:00:00Z"}):
        child = holder.mint_key(scopes=["assets:read"], **wish)
        assert child["expires_at"] == ends
        made_by = database.execute(
            "select created_by from assetdock_app.api_keys where id = %s", [child["id"]]
        ).fetchone()
        assert made_by == (parent["prefix"],)
    assert holder.mint_key(scopes=["assets:read"], expires_at="2098-01-01T00:00:00Z")["expires_at"] < ends


def test_a_key_may_rotate_itself(owner: Caller) -> None:
    key = owner.mint_key(scopes=["assets:read", "api_keys:write"])
    holder = Caller(owner.project, key["plaintext"], owner.owner_id)

    rotated = holder.http.post(f"/api-keys/{key['id']}/rotate")

    assert rotated.status_code == 201
    assert Caller(owner.project, rotated.json()["plaintext"], owner.owner_id).http.get("/assets").status_code == 200
    refused(holder.http.get("/assets"), 401, "unauthenticated")


def test_a_mint_in_flight_does_not_survive_the_revocation_of_its_key(owner: Caller, stack: Stack) -> None:
    key = owner.mint_key(scopes=["assets:read", "api_keys:write"])
    holder = Caller(owner.project, key["plaintext"], owner.owner_id)
    answers: list[httpx.Response] = []
    with psycopg.connect(stack.db_url) as blocker, psycopg.connect(stack.db_url, autocommit=True) as watcher:
        blocker.execute(
            "select pg_advisory_xact_lock(hashtextextended('assetdock.api_keys ' || %s, 0))", [owner.owner_id]
        )
        body = {"name": "n", "scopes": ["assets:read"]}
        minting = threading.Thread(target=lambda: answers.append(holder.http.post("/api-keys", json=body)))
        minting.start()
        waiting = "select from pg_locks where locktype = 'advisory' and not granted"
        until(lambda: watcher.execute(waiting).fetchone() is not None, "the mint to wait")
        assert owner.http.delete(f"/api-keys/{key['id']}").status_code == 204
        blocker.rollback()
        minting.join()

    refused(answers[0], 401, "unauthenticated")
    assert len(owner.http.get("/api-keys").json()["items"]) == 1


def test_reopening_a_window_counts_as_opening_one(owner: Caller, database: Database) -> None:
    database.execute(
        "insert into assetdock_private.limits (owner_id, pending_uploads) values (%s, 1)", [owner.owner_id]
    )
    ids = []
    for n in range(3):
        ids.append(
            owner.http.post("/assets/upload-url", json={"type": "audio"}, headers={"Idempotency-Key": f"k{n}"}).json()[
                "asset"
            ]["id"]
        )
        database.execute("update assetdock_app.assets set upload_expires_at = now() where id = %s", [ids[-1]])

    assert owner.http.post(f"/assets/{ids[0]}/upload-url").status_code == 200
    refused(owner.http.post(f"/assets/{ids[1]}/upload-url"), 429, "too_many_pending_uploads")
    again = owner.http.post("/assets/upload-url", json={"type": "audio"}, headers={"Idempotency-Key": "k2"})
    refused(again, 429, "too_many_pending_uploads")
    assert owner.http.post(f"/assets/{ids[0]}/upload-url").status_code == 200  # its own window is still open


def test_the_rate_of_reservations_is_limited_for_callers_who_pass_the_service_by(
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

    answers = [
        httpx.post(f"{owner.project.supabase_url}/rest/v1/rpc/create_upload", headers=headers, json={"type": "audio"})
        for _ in range(4)
    ]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[3].json()["code"] == "rate_limited"
    assert answers[3].headers["retry-after"] == "60"


def test_strangers_of_every_kind_read_the_same_of_an_asset_in_any_state(
    owner: Caller, stranger: Caller, worker: Any, wav: bytes
) -> None:
    pending, deleted, ready = owner.reserve()["asset"]["id"], owner.reserve()["asset"]["id"], owner.land(wav)
    owner.http.delete(f"/assets/{deleted}")
    owner.finished(ready)
    unknown = "01a20b72-3242-7498-b956-5e38783c70d2"

    def told(asset_id: str, credential: str | None) -> Any:
        headers = {"apikey": owner.project.publishable_key}
        if credential:
            headers["Authorization"] = f"Bearer {credential}"
        url = f"{owner.project.supabase_url}/storage/v1/object/upload/sign/assets/{asset_id}"
        return httpx.post(url, headers=headers, json={}).json()

    for credential in (None, stranger.credential):
        assert len({str(told(asset_id, credential)) for asset_id in (pending, deleted, ready, unknown)}) == 1


def test_a_body_with_thousands_of_wrong_entries_gets_a_short_answer(owner: Caller) -> None:
    for body in (
        {"name": "n", "scopes": [1] * 20_000},
        {"name": "n", "scopes": [[[]]] * 5_000},
    ):
        answer = owner.http.post("/api-keys", json=body)
        refused(answer, 422, "validation_error")
        assert len(answer.content) < 10_000
    metadata = {str(n): 1 for n in range(5_000)}
    answer = owner.http.post("/assets/upload-url", json={"type": "audio", "metadata": metadata})
    refused(answer, 422, "validation_error")
    assert len(answer.content) < 10_000


@pytest.mark.parametrize("number", ["--5", "-", "5-", "+5", "\u0665", "1e3", "0x1", " 5"])
def test_what_only_looks_like_a_number_is_no_number(owner: Caller, number: str) -> None:
    refused(owner.http.get("/assets", params={"limit": number}), 422, "validation_error")
    asset_id = owner.reserve()["asset"]["id"]
    refused(owner.http.get(f"/assets/{asset_id}", params={"wait": number}), 422, "validation_error")


def test_nothing_that_a_caller_sees_counts_what_others_do(owner: Caller) -> None:
    headers = {
        "apikey": owner.project.publishable_key,
        "Authorization": f"Bearer {owner.credential}",
        "Accept-Profile": "assetdock",
    }
    owner.delete_one()

    [event] = httpx.get(f"{owner.project.supabase_url}/rest/v1/asset_events?select=*", headers=headers).json()

    assert set(event) == {"asset_id", "from_state", "to_state", "at", "actor", "reason"}


def test_one_owner_cannot_take_every_place_to_wait() -> None:
    async def nothing_settles(_: list[str]) -> list[str]:
        return []

    async def crowd() -> None:
        room = WaitingRoom(nothing_settles, leaving=lambda: False)
        crowded = [asyncio.create_task(room.wait("asset", "owner", 60)) for _ in range(PLACES_OF_AN_OWNER)]
        await asyncio.sleep(0)
        await asyncio.wait_for(room.wait("asset", "owner", 60), 5)  # no place left: returns at once
        other = asyncio.create_task(room.wait("another", "stranger", 60))
        await asyncio.sleep(0.3)
        assert not other.done()
        for task in (*crowded, other):
            task.cancel()
        await asyncio.gather(*crowded, other, return_exceptions=True)
        freed = asyncio.create_task(room.wait("asset", "owner", 60))
        await asyncio.sleep(0.3)
        assert not freed.done()  # the places were given back
        freed.cancel()
        await asyncio.gather(freed, return_exceptions=True)

    asyncio.run(crowd())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_what_runs_under_the_worker_cannot_read_its_token(worker: WorkerProcess) -> None:
    """A hole in ffprobe runs as the worker's own user. Root may read everything, so the check is who owns it."""
    owner_of_secrets = Path(f"/proc/{worker.pid}/environ").stat().st_uid

    assert owner_of_secrets == 0
    if os.geteuid() != 0:
        with pytest.raises(PermissionError):
            Path(f"/proc/{worker.pid}/environ").read_bytes()
    # As root the files of a dumpable process belong to root as well; what tells it is the process's own word.
    assert "worker_hidden" in worker.output
