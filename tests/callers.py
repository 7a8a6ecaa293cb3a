"""The callers of the tests: users with a session, holders of an API key, and their requests."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conformance import require_documented
from tests.polling import DEADLINE, until

Json = dict[str, Any]
# For tests of behaviour that the service and the Edge Function share (fixture upload_url).
BOTH_ENDPOINTS = pytest.mark.parametrize("upload_url", ["service", "edge function"], indirect=True)
CREATED_USERS: list[tuple["Project", str]] = []  # deleted at the end of a run against a running project
OPEN_CLIENTS: list[httpx.Client] = []  # closed after each test (fixture close_clients)
AUDIO = {"type": "audio", "content_type": "audio/wav"}


@dataclass(frozen=True)
class Project:
    """The URLs of a stack and its service, and the stack's keys."""

    supabase_url: str
    publishable_key: str
    secret_key: str
    api_url: str


@dataclass(frozen=True)
class User:
    """A user of Supabase Auth with a valid session."""

    id: str
    email: str
    access_token: str


def sign_up(project: Project) -> User:
    """Creates a user with the admin API and signs in with the password."""
    email, password = f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
    created = httpx.post(
        f"{project.supabase_url}/auth/v1/admin/users",
        headers={"apikey": project.secret_key},
        json={"email": email, "password": password, "email_confirm": True},
    )
    assert created.status_code == 200, created.text
    CREATED_USERS.append((project, created.json()["id"]))
    session = httpx.post(
        f"{project.supabase_url}/auth/v1/token",
        params={"grant_type": "password"},
        headers={"apikey": project.publishable_key},
        json={"email": email, "password": password},
    )
    assert session.status_code == 200, session.text
    return User(created.json()["id"], email, session.json()["access_token"])


class Caller:
    """Sends requests with one credential. ``upload_url`` is the URL that reserves uploads."""

    def __init__(self, project: Project, credential: str, owner_id: str) -> None:
        self.project = project
        self.credential = credential
        self.owner_id = owner_id
        self.upload_url = f"{project.api_url}/api/v1/assets/upload-url"
        self.http = httpx.Client(
            base_url=f"{project.api_url}/api/v1",
            headers={"Authorization": f"Bearer {credential}"},
            timeout=DEADLINE,
            event_hooks={"response": [require_documented]},
        )
        OPEN_CLIENTS.append(self.http)

    def reserve(self, **fields: Any) -> Json:
        """POST /assets/upload-url, by default for a WAV file. Returns `{asset, upload}`."""
        response = self.http.post(self.upload_url, json={**AUDIO, **fields})
        assert response.status_code == 201, response.text
        document: Json = response.json()
        return document

    def upload(self, reservation: Json, data: bytes, **headers: str) -> httpx.Response:
        """Sends the signed PUT of the upload target."""
        target = reservation["upload"]
        return httpx.put(target["url"], headers={**target["headers"], **headers}, content=data, timeout=DEADLINE)

    def land(self, data: bytes, **fields: Any) -> str:
        """Reserves an asset, uploads the bytes, and returns its id."""
        reservation = self.reserve(**fields)
        put = self.upload(reservation, data)
        assert put.status_code == 200, put.text
        asset_id: str = reservation["asset"]["id"]
        return asset_id

    def create_deleted_asset(self) -> str:
        """Reserves an asset, deletes it, and returns its id. This is the fastest way to cause an event."""
        asset_id: str = self.reserve()["asset"]["id"]
        assert self.http.delete(f"/assets/{asset_id}").status_code == 204
        return asset_id

    def asset(self, asset_id: str) -> Json:
        """GET /assets/{id}."""
        response = self.http.get(f"/assets/{asset_id}")
        assert response.status_code == 200, response.text
        document: Json = response.json()
        return document

    def wait_until_finished(self, asset_id: str) -> Json:
        """Waits until the asset is ready or failed, and returns it."""
        until(lambda: self.asset(asset_id)["state"] in ("ready", "failed"), f"asset {asset_id} to be probed")
        return self.asset(asset_id)

    def mint_key(self, **fields: Any) -> Json:
        """POST /api-keys."""
        response = self.http.post("/api-keys", json={"name": "test", **fields})
        assert response.status_code == 201, response.text
        document: Json = response.json()
        return document

    def create_endpoint(self, url: str, *event_types: str, **fields: Any) -> Json:
        """POST /webhook-endpoints, by default for every event type."""
        types = event_types or ("asset.processing", "asset.ready", "asset.failed", "asset.expired", "asset.deleted")
        response = self.http.post("/webhook-endpoints", json={"url": url, "event_types": types, **fields})
        assert response.status_code == 201, response.text
        document: Json = response.json()
        return document

    def send_test_event(self, endpoint_id: str) -> Json:
        """POST /webhook-endpoints/{id}/test. Returns the delivery."""
        response = self.http.post(f"/webhook-endpoints/{endpoint_id}/test")
        assert response.status_code == 202, response.text
        document: Json = response.json()
        return document

    def deliveries(self, endpoint_id: str) -> list[Json]:
        """GET /webhook-endpoints/{id}/deliveries: the newest page."""
        response = self.http.get(f"/webhook-endpoints/{endpoint_id}/deliveries", params={"limit": 100})
        assert response.status_code == 200, response.text
        items: list[Json] = response.json()["items"]
        return items

    def key_holder(self, **fields: Any) -> "Caller":
        """A caller with a new API key of this owner."""
        return Caller(self.project, self.mint_key(**fields)["plaintext"], self.owner_id)


def session_caller(project: Project) -> Caller:
    """A caller with the session of a new user."""
    user = sign_up(project)
    return Caller(project, user.access_token, user.id)


def error_of(response: httpx.Response) -> Json:
    """Returns the error of an error response after checking the response's format."""
    document = response.json()
    assert set(document) == {"error", "request_id"}, document
    assert set(document["error"]) <= {"code", "message", "fields"}, document
    assert document["request_id"] == response.headers["x-request-id"]
    assert document["error"]["message"]
    error: Json = document["error"]
    return error


def assert_rejected(response: httpx.Response, status: int, code: str) -> Json:
    """Asserts the status and code of an error response, and returns the error."""
    error = error_of(response)
    assert (response.status_code, error["code"]) == (status, code), response.text
    if status == 401:
        challenge = response.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="'), challenge
        assert 'error_description="' in challenge, challenge
    return error
