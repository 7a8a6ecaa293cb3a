"""A user and an API key to try the service with."""

import secrets

import httpx

from devstack.errors import StackError
from devstack.stack import Stack

EMAIL = "demo@example.com"


def user(stack: Stack, kept: dict[str, str]) -> tuple[str, str]:
    """(email, password) of the demo user, who is made on the first start and kept. Raises StackError."""
    email, password = kept.get("DEMO_EMAIL") or EMAIL, kept.get("DEMO_PASSWORD") or secrets.token_urlsafe(12)
    if _session(stack, email, password) is None:
        with _client(stack, stack.secret_key) as client:
            body = {"email": email, "password": password, "email_confirm": True}
            answer = client.post("/auth/v1/admin/users", json=body)
            if answer.status_code == 422:  # there, with a password that was lost
                found = client.get("/auth/v1/admin/users", params={"per_page": 1000}).json()["users"]
                user_id = next(each["id"] for each in found if each["email"] == email)
                answer = client.put(f"/auth/v1/admin/users/{user_id}", json=body)
        if answer.status_code != 200:
            raise StackError(f"The demo user could not be created: {answer.text}")
    return email, password


def api_key(stack: Stack, service_url: str, email: str, password: str, kept: dict[str, str]) -> str:
    """The demo user's API key: the kept one while the service takes it, else a new one. Raises StackError."""
    assets = f"{service_url}/api/v1/assets"
    with httpx.Client(timeout=30, trust_env=False) as client:
        if key := kept.get("DEMO_API_KEY"):
            answer = client.get(assets, headers={"authorization": f"Bearer {key}"})
            if answer.status_code != 401:
                return key
        session = _session(stack, email, password)
        answer = client.post(
            f"{service_url}/api/v1/api-keys",
            headers={"authorization": f"Bearer {session}"},
            json={"name": "Demo key"},
        )
    if answer.status_code != 201:
        raise StackError(f"The service made no demo API key: HTTP {answer.status_code} {answer.text}")
    return str(answer.json()["plaintext"])


def _session(stack: Stack, email: str, password: str) -> str | None:
    with _client(stack, stack.publishable_key) as client:
        answer = client.post(
            "/auth/v1/token",
            params={"grant_type": "password"},
            json={"email": email, "password": password},
        )
    return str(answer.json()["access_token"]) if answer.status_code == 200 else None


def _client(stack: Stack, apikey: str) -> httpx.Client:
    return httpx.Client(base_url=stack.supabase_url, headers={"apikey": apikey}, timeout=30, trust_env=False)
