"""Landed objects never change, and only their owner can read them, seen through Storage's API and in the database."""

import httpx
import psycopg
import pytest

from tests.callers import Caller, Json
from tests.catalogue import Database
from tests.database.storage import refusal, storage, storage_as_service_role

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def other_bucket(database: Database) -> str:
    database.execute("insert into storage.buckets (id, name) values ('scratch-guard', 'g') on conflict do nothing")
    return "scratch-guard"


@pytest.mark.parametrize("operation", ["move", "copy"])
def test_service_role_cannot_move_or_copy_an_asset(owner: Caller, wav: bytes, operation: str) -> None:
    asset_id, target = owner.land(wav), owner.reserve()["asset"]["id"]

    def attempt(destination: str) -> httpx.Response:
        body = {"bucketId": "assets", "sourceKey": asset_id, "destinationKey": destination}
        return storage_as_service_role(owner, "POST", f"/object/{operation}", json=body)

    refusal(attempt("elsewhere"))
    refusal(attempt(target))


def test_service_role_cannot_overwrite_an_asset(owner: Caller, wav: bytes) -> None:
    asset_id = owner.land(wav)

    response = storage_as_service_role(
        owner,
        "PUT",
        f"/object/assets/{asset_id}",
        content=b"other",
        headers={"Content-Type": "audio/wav", "x-upsert": "true"},
    )

    refusal(response)


@pytest.mark.parametrize(
    "change",
    [
        "name = 'elsewhere'",
        "bucket_id = 'scratch-guard'",
        "version = 'another'",
        'metadata = metadata || \'{"eTag": "x"}\'',
        "metadata = metadata || '{\"size\": 1}'",
        'metadata = metadata || \'{"mimetype": "text/html"}\'',
    ],
)
@pytest.mark.usefixtures("other_bucket")
def test_an_update_of_an_objects_place_version_size_or_type_is_refused(
    owner: Caller, database: Database, wav: bytes, change: str
) -> None:
    asset_id = owner.land(wav)
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        database.execute(f"update storage.objects set {change} where name = %s", [asset_id])


def test_an_object_of_another_bucket_cannot_be_moved_into_ours(
    owner: Caller, database: Database, other_bucket: str
) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    database.execute("insert into storage.objects (bucket_id, name) values (%s, %s)", [other_bucket, asset_id])

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="never change"):
        database.execute("update storage.objects set bucket_id = 'assets' where name = %s", [asset_id])


def test_an_update_of_an_objects_other_columns_is_allowed(owner: Caller, database: Database, wav: bytes) -> None:
    asset_id = owner.land(wav)

    updated = database.execute(
        "update storage.objects set last_accessed_at = now(), user_metadata = '{\"a\": 1}',"
        " metadata = metadata || '{\"cacheControl\": \"x\"}' where bucket_id = 'assets' and name = %s",
        [asset_id],
    )

    assert updated.rowcount == 1


def test_objects_of_another_bucket_can_have_any_name_and_be_renamed(database: Database, other_bucket: str) -> None:
    database.execute("insert into storage.objects (bucket_id, name) values (%s, 'any/name')", [other_bucket])
    renamed = database.execute(
        "update storage.objects set name = 'b' where bucket_id = %s and name = 'any/name'", [other_bucket]
    )

    assert renamed.rowcount == 1
    with database.transaction():
        database.execute("set local storage.allow_delete_query = 'true'")
        database.execute("delete from storage.objects where bucket_id = %s", [other_bucket])


def test_a_session_cannot_write_or_delete_directly_and_a_stranger_cannot_read(
    owner: Caller, stranger: Caller, wav: bytes
) -> None:
    pending = owner.reserve()["asset"]["id"]
    ready = owner.land(wav)
    owner.wait_until_finished(ready)

    def denied(response: httpx.Response) -> bool:
        return response.status_code == 400 and response.json()["statusCode"] in ("403", "404")

    assert denied(storage(owner, "POST", f"/object/assets/{pending}", content=wav))
    assert denied(storage(owner, "PUT", f"/object/assets/{ready}", content=wav))
    assert storage(owner, "DELETE", "/object/assets", json={"prefixes": [ready]}).json() == []
    assert denied(storage(stranger, "POST", f"/object/sign/assets/{ready}", json={"expiresIn": 60}))
    assert denied(storage(stranger, "GET", f"/object/authenticated/assets/{ready}"))
    assert storage(stranger, "POST", "/object/list/assets", json={"prefix": ""}).json() == []
    assert owner.asset(ready)["state"] == "ready"


def test_the_owner_gets_a_signed_download_of_a_ready_asset_but_not_of_a_failed_one(owner: Caller, wav: bytes) -> None:
    ready: str = owner.land(wav)
    owner.wait_until_finished(ready)
    failed = owner.land(b"no media", content_type="audio/mpeg")
    owner.wait_until_finished(failed)

    def sign(asset_id: str) -> Json:
        body: Json = storage(owner, "POST", f"/object/sign/assets/{asset_id}", json={"expiresIn": 60}).json()
        return body

    assert "signedURL" in sign(ready)
    assert "signedURL" not in sign(failed)
