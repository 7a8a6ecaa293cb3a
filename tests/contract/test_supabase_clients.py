"""The official Python clients, unmodified."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from storage3.exceptions import StorageApiError
from supabase_auth.errors import AuthApiError

from supabase import Client, ClientOptions, create_client
from tests.contract.target import Caller, MakeBucket, Target


@pytest.fixture
def client(target: Target) -> Iterator[Client]:
    with httpx.Client(timeout=240, trust_env=False) as http:
        options = ClientOptions(auto_refresh_token=False, persist_session=False, httpx_client=http)
        yield create_client(target.url, target.publishable_key, options)


@pytest.fixture
def signed_in(client: Client, admin: Caller) -> Client:
    email, password = f"contract-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(12)
    admin.post("/auth/v1/admin/users", json={"email": email, "password": password, "email_confirm": True})
    client.auth.sign_in_with_password({"email": email, "password": password})
    return client


def test_auth_client_signs_in_refreshes_and_signs_out(signed_in: Client) -> None:
    before = signed_in.auth.get_session()
    refreshed = signed_in.auth.refresh_session()
    user = signed_in.auth.get_user()

    assert before is not None
    assert refreshed.session is not None
    assert user is not None
    assert refreshed.session.refresh_token != before.refresh_token
    assert user.user.id == before.user.id
    signed_in.auth.sign_out()
    assert signed_in.auth.get_session() is None


def test_auth_client_parses_errors(client: Client) -> None:
    with pytest.raises(AuthApiError) as error:
        client.auth.sign_in_with_password({"email": "nobody@example.com", "password": "wrong password"})

    assert error.value.code == "invalid_credentials"
    assert error.value.message == "Invalid login credentials"


def test_storage_client_uploads_to_a_signed_url_and_downloads(signed_in: Client, bucket: str, tmp_path: Path) -> None:
    storage = signed_in.storage.from_(bucket)
    (tmp_path / "a.mp3").write_bytes(b"not really music")
    signed = storage.create_signed_upload_url("a.mp3")
    storage.upload_to_signed_url("a.mp3", signed["token"], tmp_path / "a.mp3", {"content-type": "audio/mpeg"})

    assert storage.download("a.mp3") == b"not really music"
    assert str(storage.create_signed_url("a.mp3", 60)["signedURL"]).startswith(str(signed_in.supabase_url))
    assert [item["name"] for item in storage.list()] == ["a.mp3"]
    assert [item["name"] for item in storage.remove(["a.mp3"])] == ["a.mp3"]


def test_storage_client_parses_errors(signed_in: Client, make_bucket: MakeBucket) -> None:
    with pytest.raises(StorageApiError) as error:
        signed_in.storage.from_(make_bucket(open=False)).create_signed_upload_url("a.mp3")

    assert str(error.value.status) == "403"
    assert error.value.message == "new row violates row-level security policy"
