"""The demo user and the demo API key."""

import secrets

import httpx

from devstack.errors import StackError
from devstack.stack import Stack

EMAIL = "demo@example.com"


def ensure_user(stack: Stack, settings: dict[str, str]) -> tuple[str, str]:
    """(email, password) of the demo user, created on the first start. Raises StackError."""
    email, password = settings.get("DEMO_EMAIL") or EMAIL, settings.get("DEMO_PASSWORD") or secrets.token_urlsafe(12)
    if _session(stack, email, password) is None:
        with _client(stack, stack.secret_key) as client:
            body = {"email": email, "password": password, "email_confirm": True}
            response = client.post("/auth/v1/admin/users", json=body)
            if response.status_code == 422:  # the user exists, but its password was lost
                users = client.get("/auth/v1/admin/users", params={"per_page": 1000}).json()["users"]
                user_id = next(each["id"] for each in users if each["email"] == email)
                response = client.put(f"/auth/v1/admin/users/{user_id}", json=body)
        if response.status_code != 200:
            raise StackError(f"The demo user could not be created: {response.text}")
    return email, password


def ensure_api_key(stack: Stack, service_url: str, email: str, password: str, settings: dict[str, str]) -> str:
    """The stored API key of the demo user if the service accepts it, else a new one. Raises StackError."""
    assets = f"{service_url}/api/v1/assets"
    with httpx.Client(timeout=30, trust_env=False) as client:
        if key := settings.get("DEMO_API_KEY"):
            response = client.get(assets, headers={"authorization": f"Bearer {key}"})
            if response.status_code != 401:
                return key
        session = _session(stack, email, password)
        response = client.post(
            f"{service_url}/api/v1/api-keys",
            headers={"authorization": f"Bearer {session}"},
            json={"name": "Demo key"},
        )
    if response.status_code != 201:
        raise StackError(f"The demo API key could not be created: HTTP {response.status_code} {response.text}")
    return str(response.json()["plaintext"])


def _session(stack: Stack, email: str, password: str) -> str | None:
    with _client(stack, stack.publishable_key) as client:
        response = client.post(
            "/auth/v1/token",
            params={"grant_type": "password"},
            json={"email": email, "password": password},
        )
    return str(response.json()["access_token"]) if response.status_code == 200 else None


def _client(stack: Stack, apikey: str) -> httpx.Client:
    return httpx.Client(base_url=stack.supabase_url, headers={"apikey": apikey}, timeout=30, trust_env=False)
