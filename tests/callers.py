"""Kinds of callers: a user with a session, a holder of an API key, and what they do."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.conformance import require_documented
from tests.polling import DEADLINE, until

Json = dict[str, Any]
# For tests of what the service and the Edge Function promise alike (conftest: upload_url).
BOTH_ENDPOINTS = pytest.mark.parametrize("upload_url", ["service", "edge function"], indirect=True)
OPEN: list[httpx.Client] = []  # closed after each test (conftest)
AUDIO = {"type": "audio", "content_type": "audio/wav"}


@dataclass(frozen=True)
class Project:
    """Where a stack and its service answer, and the keys to them."""

    supabase_url: str
    publishable_key: str
    secret_key: str
    api_url: str


@dataclass(frozen=True)
class User:
    """A user of Supabase Auth with a live session."""

    id: str
    email: str
    access_token: str


def sign_up(project: Project) -> User:
    """A new user, made as the dashboard would make one, and signed in with the password."""
    email, password = f"{uuid.uuid4().hex}@example.com", uuid.uuid4().hex
    made = httpx.post(
        f"{project.supabase_url}/auth/v1/admin/users",
        headers={"apikey": project.secret_key},
        json={"email": email, "password": password, "email_confirm": True},
    )
    assert made.status_code == 200, made.text
    session = httpx.post(
        f"{project.supabase_url}/auth/v1/token",
        params={"grant_type": "password"},
        headers={"apikey": project.publishable_key},
        json={"email": email, "password": password},
    )
    assert session.status_code == 200, session.text
    return User(made.json()["id"], email, session.json()["access_token"])


class Caller:
    """Speaks to the service with one credential. ``upload_url`` is where it reserves uploads."""

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
        OPEN.append(self.http)

    def reserve(self, **fields: Any) -> Json:
        """POST /assets/upload-url with a WAV's fields unless others are given: `{asset, upload}`."""
        answer = self.http.post(self.upload_url, json={**AUDIO, **fields})
        assert answer.status_code == 201, answer.text
        document: Json = answer.json()
        return document

    def upload(self, reservation: Json, data: bytes, **headers: str) -> httpx.Response:
        """The signed PUT, as the answer says it is to be made."""
        target = reservation["upload"]
        return httpx.put(target["url"], headers={**target["headers"], **headers}, content=data, timeout=DEADLINE)

    def land(self, data: bytes, **fields: Any) -> str:
        """Reserves and uploads; the asset's id."""
        reservation = self.reserve(**fields)
        put = self.upload(reservation, data)
        assert put.status_code == 200, put.text
        asset_id: str = reservation["asset"]["id"]
        return asset_id

    def delete_one(self) -> str:
        """Reserves an asset and deletes it: one change of state. Its id."""
        asset_id: str = self.reserve()["asset"]["id"]
        assert self.http.delete(f"/assets/{asset_id}").status_code == 204
        return asset_id

    def asset(self, asset_id: str) -> Json:
        """GET /assets/{id}."""
        answer = self.http.get(f"/assets/{asset_id}")
        assert answer.status_code == 200, answer.text
        document: Json = answer.json()
        return document

    def finished(self, asset_id: str) -> Json:
        """The asset once it is ready or failed."""
        until(lambda: self.asset(asset_id)["state"] in ("ready", "failed"), f"asset {asset_id} to be probed")
        return self.asset(asset_id)

    def mint_key(self, **fields: Any) -> Json:
        """POST /api-keys."""
        answer = self.http.post("/api-keys", json={"name": "test", **fields})
        assert answer.status_code == 201, answer.text
        document: Json = answer.json()
        return document

    def hook(self, url: str, *event_types: str, **fields: Any) -> Json:
        """POST /webhook-endpoints, for every event unless some are named."""
        types = event_types or ("asset.processing", "asset.ready", "asset.failed", "asset.expired", "asset.deleted")
        answer = self.http.post("/webhook-endpoints", json={"url": url, "event_types": types, **fields})
        assert answer.status_code == 201, answer.text
        document: Json = answer.json()
        return document

    def test_hook(self, endpoint_id: str) -> Json:
        """POST /webhook-endpoints/{id}/test: the delivery."""
        answer = self.http.post(f"/webhook-endpoints/{endpoint_id}/test")
        assert answer.status_code == 202, answer.text
        document: Json = answer.json()
        return document

    def deliveries(self, endpoint_id: str) -> list[Json]:
        """The newest page of GET /webhook-endpoints/{id}/deliveries."""
        answer = self.http.get(f"/webhook-endpoints/{endpoint_id}/deliveries", params={"limit": 100})
        assert answer.status_code == 200, answer.text
        items: list[Json] = answer.json()["items"]
        return items

    def key_holder(self, **fields: Any) -> "Caller":
        """Somebody who calls with a new key of this owner."""
        return Caller(self.project, self.mint_key(**fields)["plaintext"], self.owner_id)


def session_caller(project: Project) -> Caller:
    """A new user, calling with the session."""
    user = sign_up(project)
    return Caller(project, user.access_token, user.id)


def error_of(answer: httpx.Response) -> Json:
    """The error in an envelope, after checking that the envelope is whole."""
    document = answer.json()
    assert set(document) == {"error", "request_id"}, document
    assert set(document["error"]) <= {"code", "message", "fields"}, document
    assert document["request_id"] == answer.headers["x-request-id"]
    assert document["error"]["message"]
    error: Json = document["error"]
    return error


def refused(answer: httpx.Response, status: int, code: str) -> Json:
    """Asserts which error an answer is; the error."""
    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    if status == 401:
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith('Bearer error="'), challenge
        assert 'error_description="' in challenge, challenge
    return error
