"""What one owner may have, and how often it may ask."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from devstack.ports import Ports
from tests.callers import Caller, Project, assert_rejected
from tests.processes import Service
from tests.tone import tone

Database = psycopg.Connection[Any]


def limit(database: Database, caller: Caller, column: str, value: int) -> None:
    database.execute(
        f"insert into assetdock_private.limits (owner_id, {column}) values (%s, %s)", [caller.owner_id, value]
    )


def stored(database: Database, caller: Caller) -> int:
    row = database.execute(
        "select stored_bytes from assetdock_private.usage where owner_id = %s", [caller.owner_id]
    ).fetchone()
    return row[0] if row else 0


def test_pending_uploads_are_limited_until_one_is_finished_or_deleted(
    owner: Caller, database: Database, wav: bytes
) -> None:
    limit(database, owner, "pending_uploads", 2)
    first, second = owner.reserve(), owner.reserve()

    answer = owner.http.post("/assets/upload-url", json={"type": "audio"})

    assert_rejected(answer, 429, "too_many_pending_uploads")
    assert 1 <= int(answer.headers["retry-after"]) <= 900
    assert owner.upload(first, wav).status_code == 200
    assert owner.reserve()
    owner.http.delete(f"/assets/{second['asset']['id']}")
    assert owner.reserve()
    assert_rejected(owner.http.post("/assets/upload-url", json={"type": "audio"}), 429, "too_many_pending_uploads")


def test_an_owner_that_may_have_no_uploads_gets_none(owner: Caller, database: Database) -> None:
    limit(database, owner, "pending_uploads", 0)

    assert_rejected(owner.http.post("/assets/upload-url", json={"type": "audio"}), 429, "too_many_pending_uploads")


def test_creation_refuses_what_cannot_fit_and_landing_what_does_not(
    owner: Caller, database: Database, wav: bytes
) -> None:
    limit(database, owner, "stored_bytes", int(len(wav) * 1.5))

    assert_rejected(
        owner.http.post("/assets/upload-url", json={"type": "audio", "size_bytes": 2 * len(wav)}),
        403, "storage_quota_exceeded",
    )  # fmt: skip
    one, other = owner.reserve(size_bytes=len(wav)), owner.reserve()
    assert owner.upload(one, wav).status_code == 200
    late = owner.upload(other, wav)
    assert (late.status_code, late.json()["statusCode"]) == (400, "403")
    assert "storage quota" in late.json()["message"]
    assert owner.asset(other["asset"]["id"])["state"] == "pending_upload"
    assert stored(database, owner) == len(wav)


def test_uploads_that_land_at_once_cannot_overdraw_the_quota(owner: Caller, database: Database) -> None:
    data = tone(0.2)
    limit(database, owner, "stored_bytes", 3 * len(data))
    reservations = [owner.reserve() for _ in range(8)]
    answers: list[httpx.Response] = []
    barrier = threading.Barrier(len(reservations))

    def put(reservation: dict[str, Any]) -> None:
        barrier.wait()
        answers.append(owner.upload(reservation, data))

    threads = [threading.Thread(target=put, args=[each]) for each in reservations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [400] * 5
    assert stored(database, owner) == 3 * len(data)


def test_keys_are_limited_also_when_they_are_minted_at_once(owner: Caller, database: Database) -> None:
    limit(database, owner, "api_keys", 2)
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: answers.append(owner.http.post("/api-keys", json={"name": "n"})))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409, 409]
    key = next(answer.json() for answer in answers if answer.status_code == 201)
    assert owner.http.post(f"/api-keys/{key['id']}/rotate").status_code == 201  # in the place of the old one


@pytest.fixture
def slow_service(service_environment: dict[str, str]) -> Iterator[Service]:
    running = Service({**service_environment, "ASSETDOCK_RATE_LIMIT": "5"}, Ports.free().gateway)
    yield running
    running.stop()


def test_an_owners_rate_is_limited_over_all_its_credentials_and_told_in_headers(
    owner: Caller, stranger: Caller, slow_service: Service
) -> None:
    project = Project(
        owner.project.supabase_url, owner.project.publishable_key, owner.project.secret_key, slow_service.url
    )
    session = Caller(project, owner.credential, owner.owner_id)
    key = Caller(project, owner.mint_key()["plaintext"], owner.owner_id)

    answers = [caller.http.get("/assets") for caller in (session, key) * 2]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].headers["ratelimit-policy"] == '"requests";q=5;w=60'
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=4", "r=3", "r=2", "r=1"]
    assert session.http.get("/assets").status_code == 200
    over = key.http.get("/assets")
    assert_rejected(over, 429, "rate_limited")
    assert 1 <= int(over.headers["retry-after"]) <= 60
    assert Caller(project, stranger.credential, stranger.owner_id).http.get("/assets").status_code == 200
    assert "assetdock_rate_limited_total 1.0" in httpx.get(f"{slow_service.url}/metrics").text
