"""The quotas and the rate limit of an owner."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from devstack.ports import Ports
from devstack.stack import Stack
from tests.callers import Caller, Project, assert_rejected
from tests.processes import Service
from tests.tone import tone

Database = psycopg.Connection[Any]


def set_limit(database: Database, caller: Caller, column: str, value: int) -> None:
    database.execute(
        f"insert into assetdock_private.limits (owner_id, {column}) values (%s, %s)", [caller.owner_id, value]
    )


def stored_bytes(database: Database, caller: Caller) -> int:
    row = database.execute(
        "select stored_bytes from assetdock_private.usage where owner_id = %s", [caller.owner_id]
    ).fetchone()
    return row[0] if row else 0


def test_finished_and_deleted_uploads_free_capacity_for_pending_uploads(
    owner: Caller, database: Database, wav: bytes
) -> None:
    set_limit(database, owner, "pending_uploads", 2)
    first, second = owner.reserve(), owner.reserve()

    response = owner.http.post("/assets/upload-url", json={"type": "audio"})

    assert_rejected(response, 429, "too_many_pending_uploads")
    assert 1 <= int(response.headers["retry-after"]) <= 900
    assert owner.upload(first, wav).status_code == 200
    assert owner.reserve()
    owner.http.delete(f"/assets/{second['asset']['id']}")
    assert owner.reserve()
    assert_rejected(owner.http.post("/assets/upload-url", json={"type": "audio"}), 429, "too_many_pending_uploads")


def test_a_limit_of_zero_rejects_every_upload(owner: Caller, database: Database) -> None:
    set_limit(database, owner, "pending_uploads", 0)

    assert_rejected(owner.http.post("/assets/upload-url", json={"type": "audio"}), 429, "too_many_pending_uploads")


def test_enforces_the_storage_quota_on_reservation_and_on_landing(
    owner: Caller, database: Database, wav: bytes
) -> None:
    set_limit(database, owner, "stored_bytes", int(len(wav) * 1.5))

    assert_rejected(
        owner.http.post("/assets/upload-url", json={"type": "audio", "size_bytes": 2 * len(wav)}),
        403, "storage_quota_exceeded",
    )  # fmt: skip
    first, second = owner.reserve(size_bytes=len(wav)), owner.reserve()
    assert owner.upload(first, wav).status_code == 200
    rejected = owner.upload(second, wav)
    assert (rejected.status_code, rejected.json()["statusCode"]) == (400, "403")
    assert "storage quota" in rejected.json()["message"]
    assert owner.asset(second["asset"]["id"])["state"] == "pending_upload"
    assert stored_bytes(database, owner) == len(wav)


def test_concurrent_uploads_cannot_exceed_the_storage_quota(owner: Caller, database: Database) -> None:
    data = tone(0.2)
    set_limit(database, owner, "stored_bytes", 3 * len(data))
    reservations = [owner.reserve() for _ in range(8)]
    responses: list[httpx.Response] = []
    barrier = threading.Barrier(len(reservations))

    def put(reservation: dict[str, Any]) -> None:
        barrier.wait()
        responses.append(owner.upload(reservation, data))

    threads = [threading.Thread(target=put, args=[each]) for each in reservations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(response.status_code for response in responses) == [200] * 3 + [400] * 5
    assert stored_bytes(database, owner) == 3 * len(data)


def test_concurrent_requests_cannot_exceed_the_limit_of_api_keys(owner: Caller, database: Database) -> None:
    set_limit(database, owner, "api_keys", 2)
    responses: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: responses.append(owner.http.post("/api-keys", json={"name": "n"})))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(response.status_code for response in responses) == [201, 201, 409, 409, 409, 409]
    key = next(response.json() for response in responses if response.status_code == 201)
    assert owner.http.post(f"/api-keys/{key['id']}/rotate").status_code == 201  # the new key replaces the old one


@pytest.fixture
def rate_limited_service(service_environment: dict[str, str]) -> Iterator[Service]:
    running = Service({**service_environment, "ASSETDOCK_RATE_LIMIT": "5"}, Ports.free().gateway)
    yield running
    running.stop()


def test_all_credentials_of_an_owner_share_one_rate_limit(
    owner: Caller, stranger: Caller, rate_limited_service: Service
) -> None:
    project = Project(
        owner.project.supabase_url, owner.project.publishable_key, owner.project.secret_key, rate_limited_service.url
    )
    session = Caller(project, owner.credential, owner.owner_id)
    key = Caller(project, owner.mint_key()["plaintext"], owner.owner_id)

    responses = [caller.http.get("/assets") for caller in (session, key) * 2]

    assert [response.status_code for response in responses] == [200] * 4
    assert responses[0].headers["ratelimit-policy"] == '"requests";q=5;w=60'
    assert [response.headers["ratelimit"].split(";")[1] for response in responses] == ["r=4", "r=3", "r=2", "r=1"]
    assert session.http.get("/assets").status_code == 200
    rejected = key.http.get("/assets")
    assert_rejected(rejected, 429, "rate_limited")
    assert 1 <= int(rejected.headers["retry-after"]) <= 60
    assert Caller(project, stranger.credential, stranger.owner_id).http.get("/assets").status_code == 200
    assert "assetdock_rate_limited_total 1.0" in httpx.get(f"{rate_limited_service.url}/metrics").text


@pytest.mark.parametrize(
    "statement",
    [
        "delete from assetdock_private.limits where owner_id is null",
        "delete from assetdock_private.limits",
        "update assetdock_private.limits set owner_id = gen_random_uuid() where owner_id is null",
        "truncate assetdock_private.limits",
    ],
)
def test_the_default_limits_cannot_be_deleted(stack: Stack, statement: str) -> None:
    with psycopg.connect(stack.db_url) as connection, pytest.raises(psycopg.Error, match="holds the defaults"):
        connection.execute(statement.encode())
