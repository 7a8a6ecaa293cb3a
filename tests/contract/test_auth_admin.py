"""The admin API for users."""

import secrets
import uuid
from datetime import UTC, datetime

import pytest

from tests.contract.target import Caller


@pytest.fixture
def user(admin: Caller) -> dict[str, str]:
    """A user with id, email and password."""
    email, password = f"contract-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(12)
    response = admin.post("/auth/v1/admin/users", json={"email": email, "password": password, "email_confirm": True})
    assert response.status_code == 200, response.text
    return {"id": response.json()["id"], "email": email, "password": password}


def sign_in(caller: Caller, user: dict[str, str]) -> tuple[int, str]:
    """(status, error code) of a sign-in."""
    body = {"email": user["email"], "password": user["password"]}
    response = caller.post("/auth/v1/token?grant_type=password", json=body)
    return response.status_code, response.json().get("error_code", "")


def test_admin_api_requires_the_secret_key(owner: Caller, anonymous: Caller) -> None:
    for caller in (owner, anonymous):
        response = caller.get("/auth/v1/admin/users")
        assert response.status_code in (401, 403)
        assert response.json()["error_code"] in ("not_admin", "no_authorization")


def test_finds_a_user_by_id_and_in_the_list(admin: Caller, user: dict[str, str]) -> None:
    one = admin.get(f"/auth/v1/admin/users/{user['id']}").json()
    all_of_them = admin.get("/auth/v1/admin/users?page=1&per_page=1000").json()

    assert one["email"] == user["email"]
    assert one["email_confirmed_at"]
    assert user["id"] in [each["id"] for each in all_of_them["users"]]
    assert all_of_them["aud"] == "authenticated"


def test_unknown_user_is_404(admin: Caller) -> None:
    response = admin.get(f"/auth/v1/admin/users/{uuid.uuid4()}")

    assert (response.status_code, response.json()["error_code"]) == (404, "user_not_found")


def test_rejects_a_second_user_with_the_same_email(admin: Caller, user: dict[str, str]) -> None:
    response = admin.post("/auth/v1/admin/users", json={"email": user["email"].upper()})

    assert (response.status_code, response.json()["error_code"]) == (422, "email_exists")


def test_banned_user_cannot_sign_in_until_the_ban_is_lifted(
    admin: Caller, anonymous: Caller, user: dict[str, str]
) -> None:
    path = f"/auth/v1/admin/users/{user['id']}"
    banned = admin.put(path, json={"ban_duration": "24h"}).json()
    assert datetime.fromisoformat(banned["banned_until"]) > datetime.now(UTC)
    assert sign_in(anonymous, user) == (400, "user_banned")

    admin.put(path, json={"ban_duration": "none"})
    assert sign_in(anonymous, user)[0] == 200


def test_update_merges_metadata(admin: Caller, user: dict[str, str]) -> None:
    path = f"/auth/v1/admin/users/{user['id']}"
    admin.put(path, json={"user_metadata": {"a": 1, "b": 2}, "app_metadata": {"plan": "pro"}})
    changed = admin.put(path, json={"user_metadata": {"b": 3}}).json()

    assert changed["user_metadata"] == {"a": 1, "b": 3} | {
        key: value for key, value in changed["user_metadata"].items() if key not in "ab"
    }
    assert changed["app_metadata"]["plan"] == "pro"
    assert changed["app_metadata"]["provider"] == "email"


def test_deleted_user_cannot_sign_in(admin: Caller, anonymous: Caller, user: dict[str, str]) -> None:
    assert admin.delete(f"/auth/v1/admin/users/{user['id']}").status_code == 200

    assert admin.get(f"/auth/v1/admin/users/{user['id']}").status_code == 404
    assert sign_in(anonymous, user) == (400, "invalid_credentials")
