"""GET /api-keys and POST /api-keys/{id}/rotate."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from assetdock_server.identity import api_key
from devstack.ports import Ports
from tests.attacks import Record
from tests.callers import Caller, Project, assert_rejected
from tests.processes import Service

Database = psycopg.Connection[Any]


def works(caller: Caller, plaintext: str) -> bool:
    response = Caller(caller.project, plaintext, caller.owner_id).http.get("/assets")
    assert response.status_code in (200, 401)
    return response.status_code == 200


def test_lists_all_keys_oldest_first_without_their_plaintext(owner: Caller) -> None:
    made = [owner.mint_key(name=f"key {n}") for n in range(3)]
    owner.http.delete(f"/api-keys/{made[1]['id']}")

    items = owner.http.get("/api-keys").json()["items"]

    assert [item["name"] for item in items] == ["key 0", "key 1", "key 2"]
    assert [item["revoked_at"] is None for item in items] == [True, False, True]
    assert all("plaintext" not in item for item in items)


def test_a_rotation_without_overlap_replaces_the_key_at_once(owner: Caller) -> None:
    old = owner.mint_key(name="ci", scopes=["assets:read", "api_keys:read"])

    response = owner.http.post(f"/api-keys/{old['id']}/rotate")

    new = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/api/v1/api-keys/{new['id']}"
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
def test_a_key_that_rotates_itself_passes_on_its_expiry(
    owner: Caller, database: Database, expires_at: str | None
) -> None:
    old = owner.mint_key(scopes=["assets:read", "api_keys:write"], expires_at=expires_at)
    itself = Caller(owner.project, old["plaintext"], owner.owner_id)

    response = itself.http.post(f"/api-keys/{old['id']}/rotate", json={"overlap_seconds": 60})

    new = response.json()
    assert (response.status_code, new["expires_at"]) == (201, expires_at)
    assert (works(owner, old["plaintext"]), works(owner, new["plaintext"])) == (True, True)
    # During the overlap, keys that it creates expire with it: a stolen key cannot outlive its rotation.
    [ends] = database.execute(
        "select expires_at from assetdock_app.api_keys where id = %s", [old["id"]]
    ).fetchone() or [None]
    late = itself.mint_key(scopes=["assets:read"])
    assert datetime.fromisoformat(late["expires_at"]) == ends


def test_an_expiring_key_cannot_create_a_key_that_expires_later(owner: Caller) -> None:
    ending = "2099-01-01T00:00:00.000000Z"
    rotating = owner.key_holder(scopes=["assets:read", "api_keys:write"], expires_at=ending)
    never_ending = owner.mint_key(scopes=["assets:read"])
    sooner = owner.mint_key(scopes=["assets:read"], expires_at="2098-01-01T00:00:00Z")

    def rotated(key: dict[str, Any], overlap: int) -> Any:
        response = rotating.http.post(f"/api-keys/{key['id']}/rotate", json={"overlap_seconds": overlap})
        return response.json()["expires_at"]

    assert rotated(never_ending, 60) == ending
    assert rotated(sooner, 0) == "2098-01-01T00:00:00.000000Z"


def test_a_revoked_key_cannot_be_rotated(owner: Caller) -> None:
    key = owner.mint_key()
    owner.http.delete(f"/api-keys/{key['id']}")

    assert_rejected(owner.http.post(f"/api-keys/{key['id']}/rotate"), 409, "conflict")


def test_a_key_cannot_rotate_a_key_with_more_scopes(owner: Caller) -> None:
    strong = owner.mint_key()
    weak = owner.key_holder(scopes=["api_keys:write"])

    assert_rejected(weak.http.post(f"/api-keys/{strong['id']}/rotate"), 403, "insufficient_scope")
    assert works(owner, strong["plaintext"])


@pytest.mark.parametrize("overlap", [-1, 604801, "60", 1.5])
def test_names_an_invalid_overlap(owner: Caller, overlap: Any) -> None:
    response = owner.http.post(f"/api-keys/{owner.mint_key()['id']}/rotate", json={"overlap_seconds": overlap})

    assert assert_rejected(response, 422, "validation_error")["fields"][0]["field"] == "body.overlap_seconds"


def test_another_owners_key_is_not_found(owner: Caller, stranger: Caller) -> None:
    assert_rejected(stranger.http.post(f"/api-keys/{owner.mint_key()['id']}/rotate"), 404, "not_found")


def row_of(database: Database, key: dict[str, Any]) -> tuple[str, datetime]:
    """The version (xmin) of the key's row, and its last_used_at."""
    row = database.execute(
        "select xmin::text, last_used_at from assetdock_app.api_keys where id = %s", [key["id"]]
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def test_last_used_at_is_not_written_at_every_request(owner: Caller, database: Database) -> None:
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

    def lookup_is_recorded(seconds_after: int) -> bool:
        """Whether a look-up this long after the last recorded one is recorded."""
        database.execute(
            "update assetdock_app.api_keys set last_used_at = now() - make_interval(secs => %s) where id = %s",
            [seconds_after, key["id"]],
        )
        before = row_of(database, key)
        for _ in range(3):  # three replicas
            database.execute("select assetdock.resolve_api_key(%s)", [api_key.digest(key["plaintext"])])
        return row_of(database, key) != before

    # A key in use is resolved again whenever its cache entry expires.
    recorded_after = 60 - api_key.CACHE_SECONDS
    assert not lookup_is_recorded(recorded_after - 5)
    assert lookup_is_recorded(recorded_after + 1)
    assert row_of(database, key)[1] > datetime.now(UTC) - timedelta(seconds=5)


def test_every_replica_rejects_a_revoked_key_despite_its_cache(
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


def test_a_key_can_be_rotated_every_hour_for_ever(owner: Caller, database: Database, attack: Record) -> None:
    """Ended keys count towards no limit, and only as many of them are kept as there may be live ones."""
    database.execute("insert into assetdock_private.limits (owner_id, api_keys) values (%s, 3)", [owner.owner_id])
    key = owner.mint_key()
    rotations = 40
    for _ in range(rotations):
        rotated = owner.http.post(f"/api-keys/{key['id']}/rotate", json={})
        if rotated.status_code != 201:
            break
        key = rotated.json()

    row = database.execute(
        "select count(*) from assetdock_app.api_keys where owner_id = %s", [owner.owner_id]
    ).fetchone()
    attack(
        "11 rotations in a row, with a limit of 3 keys",
        before="29, then 409",
        now=f"{rotations}, then {rotated.status_code}; {row and row[0]} rows",
        bound="no limit",
    )
    assert rotated.status_code == 201, rotated.text
    assert row is not None
    assert row[0] <= 5
