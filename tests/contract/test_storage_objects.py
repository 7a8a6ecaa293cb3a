"""Delete, move and copy; buckets; custom roles."""

from collections.abc import Callable

import psycopg
import pytest

from tests.contract.target import RUN, Caller, MakeBucket, Target, storage_error

Upload = Callable[..., str]


def delete(caller: Caller, bucket: str, *names: str) -> list[dict[str, object]]:
    response = caller.request("DELETE", f"/storage/v1/object/{bucket}", json={"prefixes": list(names)})
    assert response.status_code == 200, response.text
    rows: list[dict[str, object]] = response.json()
    return rows


def test_delete_returns_the_deleted_rows(owner: Caller, bucket: str, upload: Upload, sql: psycopg.Connection) -> None:
    upload(owner, bucket, "a.txt")
    upload(owner, bucket, "b.txt")

    assert [row["name"] for row in delete(owner, bucket, "a.txt", "absent.txt")] == ["a.txt"]
    left = sql.execute("select name from storage.objects where bucket_id = %s", [bucket]).fetchall()
    assert left == [("b.txt",)]


def test_forbidden_delete_is_200_with_an_empty_list(
    owner: Caller, stranger: Caller, bucket: str, upload: Upload
) -> None:
    upload(owner, bucket, "a.txt")

    assert delete(stranger, bucket, "a.txt") == []
    assert delete(owner, bucket, "absent.txt") == []


def test_custom_role_needs_a_select_policy_to_delete(
    target: Target, admin: Caller, make_bucket: MakeBucket, upload: Upload, sql: psycopg.Connection
) -> None:
    """A custom role needs only `usage` on the schema, grants and policies."""
    closed, role = make_bucket(open=False), f"contract_{RUN}"
    upload(admin, closed, "a.txt")
    token = target.mint(role=role, sub="00000000-0000-4000-8000-000000000000")
    statements = [
        f"create role {role} nologin",
        f"grant {role} to authenticator",
        f"grant usage on schema storage to {role}",
        f"grant select, delete on storage.objects to {role}",
        f"grant select on storage.buckets to {role}",
        f'create policy "contract {role} delete" on storage.objects for delete to {role} '
        f"using (bucket_id = '{closed}')",
    ]
    for statement in statements:
        sql.execute(statement.encode())
    try:
        with Caller(target, target.publishable_key, token) as custom:
            without_select = delete(custom, closed, "a.txt")
            sql.execute(
                f'create policy "contract {role} select" on storage.objects for select to {role} '
                f"using (bucket_id = '{closed}')".encode()
            )
            signed = custom.post(f"/storage/v1/object/sign/{closed}/a.txt", json={"expiresIn": 60})
            with_select = delete(custom, closed, "a.txt")
    finally:
        sql.execute(f'drop policy if exists "contract {role} delete" on storage.objects'.encode())
        sql.execute(f'drop policy if exists "contract {role} select" on storage.objects'.encode())
        sql.execute(f"revoke all on storage.objects, storage.buckets from {role}".encode())
        sql.execute(f"revoke usage on schema storage from {role}".encode())
        sql.execute(f"drop role {role}".encode())

    assert without_select == []
    assert signed.status_code == 200
    assert [row["name"] for row in with_select] == ["a.txt"]


def test_sql_cannot_delete_objects(sql: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Use the Storage API"):
        sql.execute("delete from storage.objects where bucket_id = 'contract-none'")


def test_move_keeps_the_bytes(owner: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "a.txt", b"moving")

    body = {"bucketId": bucket, "sourceKey": "a.txt", "destinationKey": "folder/b.txt"}
    assert owner.post("/storage/v1/object/move", json=body).status_code == 200

    assert owner.get(f"/storage/v1/object/authenticated/{bucket}/folder/b.txt").content == b"moving"
    assert storage_error(owner.get(f"/storage/v1/object/info/{bucket}/a.txt"))[1] == "404"


def test_copy_keeps_the_source_and_the_bytes(owner: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "a.txt", b"copied")

    body = {"bucketId": bucket, "sourceKey": "a.txt", "destinationKey": "b.txt"}
    response = owner.post("/storage/v1/object/copy", json=body)

    assert response.json()["Key"] == f"{bucket}/b.txt"
    assert owner.get(f"/storage/v1/object/authenticated/{bucket}/b.txt").content == b"copied"
    assert owner.get(f"/storage/v1/object/authenticated/{bucket}/a.txt").content == b"copied"


def test_stranger_cannot_move_or_copy(owner: Caller, stranger: Caller, bucket: str, upload: Upload) -> None:
    upload(owner, bucket, "a.txt")

    for verb in ("move", "copy"):
        body = {"bucketId": bucket, "sourceKey": "a.txt", "destinationKey": "b.txt"}
        assert storage_error(stranger.post(f"/storage/v1/object/{verb}", json=body)) == (400, "404", "NoSuchKey")


def test_bucket_endpoints_require_the_secret_key(admin: Caller, owner: Caller, bucket: str) -> None:
    assert admin.get(f"/storage/v1/bucket/{bucket}").json()["id"] == bucket
    assert storage_error(owner.get(f"/storage/v1/bucket/{bucket}")) == (400, "404", "NoSuchBucket")
    assert storage_error(owner.post("/storage/v1/bucket", json={"name": "contract-users"})) == (
        400,
        "403",
        "AccessDenied",
    )


def test_bucket_is_created_once_and_deleted_only_when_empty(admin: Caller, bucket: str, upload: Upload) -> None:
    again = admin.post("/storage/v1/bucket", json={"id": bucket, "name": bucket})
    upload(admin, bucket, "a.txt")
    full = admin.delete(f"/storage/v1/bucket/{bucket}")

    assert storage_error(again)[:2] == (400, "409")
    assert storage_error(full)[:2] == (400, "409")
    assert admin.post(f"/storage/v1/bucket/{bucket}/empty").status_code == 200
    assert admin.delete(f"/storage/v1/bucket/{bucket}").status_code == 200


def test_delete_of_one_forbidden_object_is_denied(
    owner: Caller, make_bucket: MakeBucket, admin: Caller, upload: Upload, sql: psycopg.Connection
) -> None:
    readable = make_bucket(open=False)
    upload(admin, readable, "a.txt")
    sql.execute(
        f'create policy "contract read {readable}" on storage.objects for select to authenticated'
        f" using (bucket_id = '{readable}')".encode()
    )
    try:
        denied = owner.delete(f"/storage/v1/object/{readable}/a.txt")
        moved = owner.post(
            "/storage/v1/object/move", json={"bucketId": readable, "sourceKey": "a.txt", "destinationKey": "b.txt"}
        )
    finally:
        sql.execute(f'drop policy "contract read {readable}" on storage.objects'.encode())

    assert storage_error(denied)[:2] == (400, "403")
    assert storage_error(moved) == (400, "404", "NoSuchKey")


def test_a_user_learns_that_a_bucket_is_not_empty(owner: Caller, bucket: str, upload: Upload, admin: Caller) -> None:
    upload(admin, bucket, "a.txt")

    assert storage_error(owner.delete(f"/storage/v1/bucket/{bucket}"))[:2] == (400, "409")


def test_list_v2_lists_what_the_caller_can_see(
    owner: Caller, anonymous: Caller, make_bucket: MakeBucket, admin: Caller, upload: Upload
) -> None:
    closed = make_bucket(open=False)
    upload(admin, closed, "a.txt")

    for caller, names in ((owner, []), (anonymous, []), (admin, ["a.txt"])):
        response = caller.post(f"/storage/v1/object/list-v2/{closed}", json={"prefix": ""})

        assert response.status_code == 200
        assert [each["name"] for each in response.json()["objects"]] == names


def test_only_service_role_empties_a_bucket(admin: Caller, owner: Caller, anonymous: Caller, bucket: str) -> None:
    for caller in (owner, anonymous):
        response = caller.post(f"/storage/v1/bucket/{bucket}/empty")

        assert (response.status_code, response.json()["message"]) == (403, "Access denied: Invalid role")
    assert admin.post(f"/storage/v1/bucket/{bucket}/empty").status_code == 200


def test_unknown_route_has_http_status_404(admin: Caller) -> None:
    assert admin.get("/storage/v1/no-such-thing/at/all").status_code == 404
