"""GET /api-keys and POST /api-keys/{id}/rotate."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from assetdock_server.identity import api_key
from devstack.ports import Ports
from tests.callers import Caller, Project, assert_rejected
from tests.processes import Service

Database = psycopg.Connection[Any]


def works(caller: Caller, plaintext: str) -> bool:
    answer = Caller(caller.project, plaintext, caller.owner_id).http.get("/assets")
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def test_keys_are_listed_oldest_first_without_plaintext_revoked_ones_too(owner: Caller) -> None:
    made = [owner.mint_key(name=f"key {n}") for n in range(3)]
    owner.http.delete(f"/api-keys/{made[1]['id']}")

    items = owner.http.get("/api-keys").json()["items"]

    assert [item["name"] for item in items] == ["key 0", "key 1", "key 2"]
    assert [item["revoked_at"] is None for item in items] == [True, False, True]
    assert all("plaintext" not in item for item in items)


def test_a_rotated_key_takes_over_at_once(owner: Caller) -> None:
    old = owner.mint_key(name="ci", scopes=["assets:read", "api_keys:read"])

    answer = owner.http.post(f"/api-keys/{old['id']}/rotate")

    new = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/v1/api-keys/{new['id']}"
    assert (new["name"], new["scopes"]) == (old["name"], old["scopes"])
    assert new["id"] != old["id"]
    assert (works(owner, old["plaintext"]), works(owner, new["plaintext"])) == (False, True)


def test_during_the_overlap_both_keys_work(owner: Caller, database: Database) -> None:
    old = owner.mint_key()

    new = owner.http.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 3600}).json()

    assert (works(owner, old["plaintext"]), works(owner, new["plaintext"])) == (True, True)
    database.execute("update assetdock_app.api_keys set expires_at = now() where id = %s", [old["id"]])
    assert (works(owner, old["plaintext"]), works(owner, new["plaintext"])) == (False, True)


@pytest.mark.parametrize("expires_at", [None, "2099-01-01T00:00:00.000000Z"])
def test_a_key_that_rotates_itself_with_an_overlap_passes_on_its_own_expiry(
    owner: Caller, database: Database, expires_at: str | None
) -> None:
    old = owner.mint_key(scopes=["assets:read", "api_keys:write"], expires_at=expires_at)
    itself = Caller(owner.project, old["plaintext"], owner.owner_id)

    answer = itself.http.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60})

    new = answer.json()
    assert (answer.status_code, new["expires_at"]) == (201, expires_at)
    assert (works(owner, old["plaintext"]), works(owner, new["plaintext"])) == (True, True)
    # In the overlap it ends soon, and what it makes ends with it: a stolen key cannot outlive its rotation.
    [ends] = database.execute(
        "select expires_at from assetdock_app.api_keys where id = %s", [old["id"]]
    ).fetchone() or [None]
    late = itself.mint_key(scopes=["assets:read"])
    assert datetime.fromisoformat(late["expires_at"]) == ends


def test_a_key_that_ends_cannot_rotate_another_into_one_that_ends_later(owner: Caller) -> None:
    ending = "2099-01-01T00:00:00.000000Z"
    rotating = owner.key_holder(scopes=["assets:read", "api_keys:write"], expires_at=ending)
    never_ending = owner.mint_key(scopes=["assets:read"])
    sooner = owner.mint_key(scopes=["assets:read"], expires_at="2098-01-01T00:00:00Z")

    def rotated(key: dict[str, Any], overlap: int) -> Any:
        answer = rotating.http.post(f"/api-keys/{key['id']}/rotate", json={"overlap_seconds": overlap})
        return answer.json()["expires_at"]

    assert rotated(never_ending, 60) == ending
    assert rotated(sooner, 0) == "2098-01-01T00:00:00.000000Z"


def test_a_key_that_has_ended_cannot_be_rotated(owner: Caller) -> None:
    key = owner.mint_key()
    owner.http.delete(f"/api-keys/{key['id']}")

    assert_rejected(owner.http.post(f"/api-keys/{key['id']}/rotate"), 409, "conflict")


def test_a_key_cannot_rotate_one_that_holds_more_than_it_does(owner: Caller) -> None:
    strong = owner.mint_key()
    weak = owner.key_holder(scopes=["api_keys:write"])

    assert_rejected(weak.http.post(f"/api-keys/{strong['id']}/rotate"), 403, "insufficient_scope")
    assert works(owner, strong["plaintext"])


@pytest.mark.parametrize("overlap", [-1, 604801, "60", 1.5])
def test_a_wrong_overlap_is_named(owner: Caller, overlap: Any) -> None:
    answer = owner.http.post(f"/api-keys/{owner.mint_key()['id']}/rotate", json={"overlap_seconds": overlap})

    assert assert_rejected(answer, 422, "validation_error")["fields"][0]["field"] == "body.overlap_seconds"


def test_a_strangers_key_is_not_found(owner: Caller, stranger: Caller) -> None:
    assert_rejected(stranger.http.post(f"/api-keys/{owner.mint_key()['id']}/rotate"), 404, "not_found")


def row_of(database: Database, key: dict[str, Any]) -> tuple[str, datetime]:
    """(which version of the key's row this is, its last_used_at)."""
    row = database.execute(
        "select xmin::text, last_used_at from assetdock_app.api_keys where id = %s", [key["id"]]
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_last_used_at_is_told_and_not_written_with_every_request(owner: Caller, database: Database) -> None:
    key = owner.mint_key()
    holder = Caller(owner.project, key["plaintext"], owner.owner_id)
    holder.http.get("/assets")
    written = row_of(database, key)

    for _ in range(20):
        assert holder.http.get("/assets").status_code == 200

    [listed] = owner.http.get("/api-keys").json()["items"]
    assert datetime.fromisoformat(listed["last_used_at"]) == written[1]
    assert row_of(database, key) == written


def test_last_used_at_is_at_most_a_minute_old(owner: Caller, database: Database) -> None:
    key = owner.mint_key()

    def looked_up(seconds_after: int) -> bool:
        """Whether a look-up so long after the last one that was noted is noted itself."""
        database.execute(
            "update assetdock_app.api_keys set last_used_at = now() - make_interval(secs => %s) where id = %s",
            [seconds_after, key["id"]],
        )
        before = row_of(database, key)
        for _ in range(3):  # as from three replicas
            database.execute("select assetdock.resolve_api_key(%s)", [api_key.digest(key["plaintext"])])
        return row_of(database, key) != before

    # A key that is in use is looked up anew whenever the service's memory of it ends.
    noted_after = 60 - api_key.CACHE_SECONDS
    assert not looked_up(noted_after - 5)
    assert looked_up(noted_after + 1)
    assert row_of(database, key)[1] > datetime.now(UTC) - timedelta(seconds=5)


def test_a_revoked_key_is_refused_by_every_replica_however_warm_its_memory(
    owner: Caller, service_environment: dict[str, str]
) -> None:
    replica = Service(service_environment, Ports.free().gateway)
    try:
        key = owner.mint_key()
        there = Project(
            owner.project.supabase_url, owner.project.publishable_key, owner.project.secret_key, replica.url
        )
        holders = [Caller(project, key["plaintext"], owner.owner_id) for project in (owner.project, there)]
        for holder in holders * 3:
            assert holder.http.get("/assets").status_code == 200

        assert owner.http.delete(f"/api-keys/{key['id']}").status_code == 204

        for holder in holders * 3:
            assert_rejected(holder.http.get("/assets"), 401, "unauthenticated")
    finally:
        replica.stop()
