"""The admin's users."""

import secrets
import uuid
from datetime import UTC, datetime

import pytest

from tests.contract.target import Caller


@pytest.fixture
def user(admin: Caller) -> dict[str, str]:
    """A user, and the password they were made with."""
    email, password = f"contract-{secrets.token_hex(6)}@example.com", secrets.token_urlsafe(12)
    answer = admin.post("/auth/v1/admin/users", json={"email": email, "password": password, "email_confirm": True})
    assert answer.status_code == 200, answer.text
    return {"id": answer.json()["id"], "email": email, "password": password}


def sign_in(caller: Caller, user: dict[str, str]) -> tuple[int, str]:
    """(status, error code) of a sign-in."""
    body = {"email": user["email"], "password": user["password"]}
    answer = caller.post("/auth/v1/token?grant_type=password", json=body)
    return answer.status_code, answer.json().get("error_code", "")


def test_only_the_secret_key_is_admin(owner: Caller, nobody: Caller) -> None:
    for caller in (owner, nobody):
        answer = caller.get("/auth/v1/admin/users")
        assert answer.status_code in (401, 403)
        assert answer.json()["error_code"] in ("not_admin", "no_authorization")


def test_a_user_is_found_by_id_and_in_the_list(admin: Caller, user: dict[str, str]) -> None:
    one = admin.get(f"/auth/v1/admin/users/{user['id']}").json()
    all_of_them = admin.get("/auth/v1/admin/users?page=1&per_page=1000").json()

    assert one["email"] == user["email"]
    assert one["email_confirmed_at"]
    assert user["id"] in [each["id"] for each in all_of_them["users"]]
    assert all_of_them["aud"] == "authenticated"


def test_an_unknown_user_is_404(admin: Caller) -> None:
    answer = admin.get(f"/auth/v1/admin/users/{uuid.uuid4()}")

    assert (answer.status_code, answer.json()["error_code"]) == (404, "user_not_found")


def test_an_email_is_taken_only_once(admin: Caller, user: dict[str, str]) -> None:
    answer = admin.post("/auth/v1/admin/users", json={"email": user["email"].upper()})

    assert (answer.status_code, answer.json()["error_code"]) == (422, "email_exists")


def test_a_ban_keeps_a_user_out_until_it_is_lifted(admin: Caller, nobody: Caller, user: dict[str, str]) -> None:
    path = f"/auth/v1/admin/users/{user['id']}"
    banned = admin.put(path, json={"ban_duration": "24h"}).json()
    assert datetime.fromisoformat(banned["banned_until"]) > datetime.now(UTC)
    assert sign_in(nobody, user) == (400, "user_banned")

    admin.put(path, json={"ban_duration": "none"})
    assert sign_in(nobody, user)[0] == 200


def test_metadata_is_merged(admin: Caller, user: dict[str, str]) -> None:
    path = f"/auth/v1/admin/users/{user['id']}"
    admin.put(path, json={"user_metadata": {"a": 1, "b": 2}, "app_metadata": {"plan": "pro"}})
    changed = admin.put(path, json={"user_metadata": {"b": 3}}).json()

    assert changed["user_metadata"] == {"a": 1, "b": 3} | {
        key: value for key, value in changed["user_metadata"].items() if key not in "ab"
    }
    assert changed["app_metadata"]["plan"] == "pro"
    assert changed["app_metadata"]["provider"] == "email"


def test_a_deleted_user_is_gone(admin: Caller, nobody: Caller, user: dict[str, str]) -> None:
    assert admin.delete(f"/auth/v1/admin/users/{user['id']}").status_code == 200

    assert admin.get(f"/auth/v1/admin/users/{user['id']}").status_code == 404
    assert sign_in(nobody, user) == (400, "invalid_credentials")
