"""Storage's API, called directly, protects assets from every credential that an attacker can hold."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.callers import Caller, Json
from tests.polling import until
from tests.processes import WorkerProcess

Sign = Callable[[Json], str]


def storage(caller: Caller, method: str, path: str, credential: str | None = None, **options: Any) -> httpx.Response:
    headers = {
        "apikey": caller.project.publishable_key,
        "Authorization": f"Bearer {credential or caller.credential}",
        **options.pop("headers", {}),
    }
    # The path is sent exactly as written: httpx would normalize dots.
    url = httpx.URL(f"{caller.project.supabase_url}/storage/v1").copy_with(raw_path=f"/storage/v1{path}".encode())
    return httpx.request(method, url, headers=headers, **options)


def denied(response: httpx.Response) -> bool:
    if response.status_code in (403, 404, 405):
        return True
    return response.status_code == 400 and str(response.json()["statusCode"]) in ("400", "403", "404", "409")


@pytest.fixture
def ready(owner: Caller, worker: WorkerProcess, wav: bytes) -> str:
    asset_id = owner.land(wav)
    owner.wait_until_finished(asset_id)
    return asset_id


def test_no_other_credential_reads_lists_changes_or_deletes_an_asset(
    owner: Caller, stranger: Caller, ready: str, wav: bytes
) -> None:
    pending = stranger.reserve()
    upload_token = pending["upload"]["url"].split("token=")[1]
    for credential in (stranger.credential, stranger.project.publishable_key, upload_token):
        for method, path, body in (
            ("POST", f"/object/sign/assets/{ready}", {"expiresIn": 60}),
            ("GET", f"/object/authenticated/assets/{ready}", None),
            ("GET", f"/object/assets/{ready}", None),
            ("GET", f"/object/public/assets/{ready}", None),
            ("GET", f"/object/info/assets/{ready}", None),
            ("POST", f"/object/upload/sign/assets/{ready}", {}),
            ("POST", f"/object/assets/{ready}", None),
            ("PUT", f"/object/assets/{ready}", None),
            ("DELETE", f"/object/assets/{ready}", None),
            ("POST", "/object/move", {"bucketId": "assets", "sourceKey": ready, "destinationKey": "x"}),
            ("POST", "/object/copy", {"bucketId": "assets", "sourceKey": ready, "destinationKey": "x"}),
            ("PUT", "/bucket/assets", {"public": True}),
            ("POST", "/bucket/assets/empty", {}),
            ("DELETE", "/bucket/assets", None),
        ):
            options: dict[str, Any] = {} if body is None else {"json": body}
            response = storage(stranger, method, path, credential, headers={"x-upsert": "true"}, **options)
            assert denied(response), (credential[:20], method, path, response.status_code, response.text)
        listed = storage(stranger, "POST", "/object/list/assets", credential, json={"prefix": "", "limit": 1000})
        assert listed.status_code != 200 or listed.json() == []
        deleted = storage(stranger, "DELETE", "/object/assets", credential, json={"prefixes": [ready]})
        assert deleted.status_code != 200 or deleted.json() == []
    assert httpx.get(owner.asset(ready)["download_url"]).content == wav


def test_nobody_creates_a_bucket(owner: Caller, stranger: Caller) -> None:
    for credential in (owner.credential, stranger.credential, stranger.project.publishable_key):
        assert denied(storage(stranger, "POST", "/bucket", credential, json={"name": "mine", "id": "mine"}))


def test_the_owner_cannot_change_move_copy_or_delete_landed_bytes(owner: Caller, ready: str, wav: bytes) -> None:
    for method, path, body in (
        ("PUT", f"/object/assets/{ready}", {"content": b"x"}),
        ("POST", f"/object/assets/{ready}", {"content": b"x"}),
        ("POST", "/object/move", {"json": {"bucketId": "assets", "sourceKey": ready, "destinationKey": "x"}}),
        ("POST", "/object/copy", {"json": {"bucketId": "assets", "sourceKey": ready, "destinationKey": "x"}}),
    ):
        options: dict[str, Any] = dict(body)
        response = storage(owner, method, path, headers={"x-upsert": "true", "Content-Type": "audio/wav"}, **options)
        assert denied(response), (method, path, response.text)
    assert storage(owner, "DELETE", "/object/assets", json={"prefixes": [ready]}).json() == []
    assert httpx.get(owner.asset(ready)["download_url"]).content == wav


def test_an_upload_token_writes_only_its_own_object_and_reads_none(owner: Caller, wav: bytes) -> None:
    reserved, other = owner.reserve(), owner.reserve()
    token = reserved["upload"]["url"].split("token=")[1]
    base = f"{owner.project.supabase_url}/storage/v1/object"

    for url in (
        f"{base}/upload/sign/assets/{other['asset']['id']}?token={token}",
        f"{base}/upload/sign/assets/{reserved['asset']['id']}/x?token={token}",
        f"{base}/upload/sign/other/{reserved['asset']['id']}?token={token}",
        f"{base}/upload/sign/assets/{reserved['asset']['id']}?token={token[:-3]}AAA",
    ):
        put = httpx.put(url, content=wav, headers={"Content-Type": "audio/wav"})
        assert denied(put), put.text
    assert denied(httpx.get(f"{base}/sign/assets/{reserved['asset']['id']}?token={token}"))


def test_an_upload_token_is_rejected_after_the_asset_is_deleted(owner: Caller, wav: bytes) -> None:
    reservation = owner.reserve()
    assert owner.upload(reservation, wav).status_code == 200
    owner.http.delete(f"/assets/{reservation['asset']['id']}")

    assert denied(owner.upload(reservation, wav))
    assert owner.asset(reservation["asset"]["id"])["state"] == "deleted"


@pytest.fixture
def mint(owner: Caller, sign: Sign) -> Callable[[Json], str]:
    """The token that the service exchanges a key of the owner for."""

    def minted(key: Json) -> str:
        now = int(time.time())
        claims = {"iss": "assetdock", "aud": "authenticated", "role": "authenticated", "sub": owner.owner_id}
        return sign({**claims, "api_key_id": key["id"], "iat": now, "exp": now + 300})

    return minted


def test_the_minted_token_of_a_revoked_key_gets_nothing_signed(
    owner: Caller, ready: str, mint: Callable[[Json], str]
) -> None:
    key = owner.mint_key()
    minted = mint(key)
    pending = owner.reserve()["asset"]["id"]
    assert storage(owner, "POST", f"/object/upload/sign/assets/{pending}", minted, json={}).status_code == 200
    assert storage(owner, "POST", f"/object/sign/assets/{ready}", minted, json={"expiresIn": 60}).status_code == 200

    owner.http.delete(f"/api-keys/{key['id']}")

    assert denied(storage(owner, "POST", f"/object/upload/sign/assets/{pending}", minted, json={}))
    assert denied(storage(owner, "POST", f"/object/sign/assets/{ready}", minted, json={"expiresIn": 60}))


def test_signing_an_upload_needs_assets_write_and_signing_a_download_needs_assets_read(
    owner: Caller, ready: str, mint: Callable[[Json], str]
) -> None:
    pending = owner.reserve()["asset"]["id"]
    for scope, upload, download in (("assets:read", False, True), ("assets:write", True, False)):
        minted = mint(owner.mint_key(scopes=[scope]))
        signed_upload = storage(owner, "POST", f"/object/upload/sign/assets/{pending}", minted, json={})
        signed_download = storage(owner, "POST", f"/object/sign/assets/{ready}", minted, json={"expiresIn": 60})
        assert (signed_upload.status_code == 200, signed_download.status_code == 200) == (upload, download)


def test_the_workers_token_can_neither_upload_nor_delete_an_asset_that_is_not_being_purged(
    owner: Caller, ready: str, worker_environment: dict[str, str], wav: bytes
) -> None:
    token = worker_environment["SUPABASE_WORKER_TOKEN"]
    pending = owner.reserve()["asset"]["id"]

    assert denied(storage(owner, "POST", f"/object/upload/sign/assets/{pending}", token, json={}))
    assert denied(storage(owner, "POST", f"/object/assets/{pending}", token, content=wav))
    assert storage(owner, "DELETE", "/object/assets", token, json={"prefixes": [ready]}).json() == []
    until(lambda: httpx.get(owner.asset(ready)["download_url"]).content == wav, "the bytes to be still there")
