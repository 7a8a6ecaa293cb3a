"""Sessions: sign-in, claims, refresh and logout."""

import secrets
from typing import Any

import httpx
import jwt
import pytest

from tests.contract.target import Caller

Session = dict[str, Any]


def new_email() -> str:
    return f"contract-{secrets.token_hex(6)}@example.com"


@pytest.fixture
def credentials(admin: Caller) -> dict[str, str]:
    """A confirmed user's email and password."""
    body = {"email": new_email(), "password": secrets.token_urlsafe(12)}
    assert admin.post("/auth/v1/admin/users", json={**body, "email_confirm": True}).status_code == 200
    return body


@pytest.fixture
def session(anonymous: Caller, credentials: dict[str, str]) -> Session:
    response = anonymous.post("/auth/v1/token?grant_type=password", json=credentials)
    assert response.status_code == 200, response.text
    session: Session = response.json()
    return session


def refresh(caller: Caller, token: str) -> httpx.Response:
    return caller.post("/auth/v1/token?grant_type=refresh_token", json={"refresh_token": token})


def as_user(caller: Caller, session: Session, method: str, path: str, **json: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {session['access_token']}"}
    return caller.request(method, path, headers=headers, json=json or None)


def test_sign_in_returns_a_bearer_session_for_one_hour(session: Session, credentials: dict[str, str]) -> None:
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    assert session["refresh_token"]
    assert session["user"]["email"] == credentials["email"]
    assert session["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert session["user"]["identities"][0]["provider"] == "email"


def test_access_token_has_gotrues_claims_and_verifies_with_a_published_key(anonymous: Caller, session: Session) -> None:
    token = session["access_token"]
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})

    assert claims.keys() >= {"iss", "sub", "aud", "exp", "iat", "email", "phone", "app_metadata"}
    assert claims.keys() >= {"user_metadata", "role", "aal", "amr", "session_id", "is_anonymous"}
    assert (claims["aud"], claims["role"]) == ("authenticated", "authenticated")
    assert claims["iss"].endswith("/auth/v1")
    assert claims["sub"] == session["user"]["id"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["amr"][0]["method"] == "password"
    keys = anonymous.get("/auth/v1/.well-known/jwks.json").json()["keys"]
    if header["alg"] == "ES256":
        key = next(each for each in keys if each["kid"] == header["kid"])
        assert "d" not in key
        jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience="authenticated")


def test_wrong_password_and_unknown_email_get_the_same_error(anonymous: Caller, credentials: dict[str, str]) -> None:
    responses = [
        anonymous.post("/auth/v1/token?grant_type=password", json={"email": email, "password": "wrong password"})
        for email in (credentials["email"], new_email())
    ]

    for response in responses:
        assert response.status_code == 400
        assert response.json()["error_code"] == "invalid_credentials"
        assert response.json()["code"] == 400
        assert response.json()["msg"] == "Invalid login credentials"


def test_newer_api_version_gets_the_error_code_as_text(anonymous: Caller) -> None:
    response = anonymous.post(
        "/auth/v1/token?grant_type=password",
        json={"email": new_email(), "password": "wrong password"},
        headers={"x-supabase-api-version": "2024-01-01"},
    )

    assert response.json()["code"] == "invalid_credentials"
    assert response.json()["message"] == "Invalid login credentials"


def test_refresh_returns_a_new_refresh_token(anonymous: Caller, session: Session) -> None:
    second = refresh(anonymous, session["refresh_token"]).json()

    assert second["refresh_token"] != session["refresh_token"]
    assert second["user"]["id"] == session["user"]["id"]
    claims = [jwt.decode(each["access_token"], options={"verify_signature": False}) for each in (session, second)]
    assert claims[0]["session_id"] == claims[1]["session_id"]


def test_reused_refresh_token_returns_the_current_one_within_seconds(anonymous: Caller, session: Session) -> None:
    second = refresh(anonymous, session["refresh_token"]).json()
    again = refresh(anonymous, session["refresh_token"])

    assert again.status_code == 200
    assert again.json()["refresh_token"] == second["refresh_token"]


@pytest.mark.parametrize(
    ("token", "code"), [("abcdefghijkl", "refresh_token_not_found"), ("no-such-token", "validation_failed")]
)
def test_rejects_an_unknown_or_malformed_refresh_token(anonymous: Caller, token: str, code: str) -> None:
    response = refresh(anonymous, token)

    assert response.status_code == 400
    assert response.json()["error_code"] == code


def test_user_reads_and_updates_their_own_account(
    anonymous: Caller, session: Session, credentials: dict[str, str]
) -> None:
    changed = as_user(anonymous, session, "PUT", "/auth/v1/user", data={"nickname": "Al"}, password="another one")
    read = as_user(anonymous, session, "GET", "/auth/v1/user")

    assert changed.status_code == 200
    assert read.json()["user_metadata"]["nickname"] == "Al"
    body = {"email": credentials["email"], "password": "another one"}
    assert anonymous.post("/auth/v1/token?grant_type=password", json=body).status_code == 200


def test_rejects_a_forged_token(anonymous: Caller, session: Session) -> None:
    forged = {**session, "access_token": session["access_token"][:-8] + "AAAAAAAA"}
    response = as_user(anonymous, forged, "GET", "/auth/v1/user")

    assert response.status_code == 403
    assert response.json()["error_code"] == "bad_jwt"


def test_logout_ends_the_session_immediately(anonymous: Caller, session: Session) -> None:
    assert as_user(anonymous, session, "POST", "/auth/v1/logout?scope=local").status_code == 204

    response = as_user(anonymous, session, "GET", "/auth/v1/user")
    assert response.status_code == 403
    assert response.json()["error_code"] == "session_not_found"
    assert refresh(anonymous, session["refresh_token"]).status_code == 400


def test_logout_of_other_sessions_keeps_this_one(anonymous: Caller, credentials: dict[str, str]) -> None:
    here, there = (anonymous.post("/auth/v1/token?grant_type=password", json=credentials).json() for _ in range(2))
    as_user(anonymous, here, "POST", "/auth/v1/logout?scope=others")

    assert as_user(anonymous, here, "GET", "/auth/v1/user").status_code == 200
    assert as_user(anonymous, there, "GET", "/auth/v1/user").status_code == 403


def test_settings_list_the_sign_up_methods(anonymous: Caller) -> None:
    settings = anonymous.get("/auth/v1/settings").json()

    assert settings["external"]["email"] is True
    assert settings["disable_signup"] is False


def test_sign_up_rejects_a_taken_email_and_a_weak_password(anonymous: Caller, credentials: dict[str, str]) -> None:
    if not anonymous.get("/auth/v1/settings").json()["mailer_autoconfirm"]:
        pytest.skip("this project confirms emails and does not reveal taken ones")
    fresh = anonymous.post("/auth/v1/signup", json={"email": new_email(), "password": "a password"})
    taken = anonymous.post("/auth/v1/signup", json=credentials)
    weak = anonymous.post("/auth/v1/signup", json={"email": new_email(), "password": "short"})

    assert fresh.json()["access_token"]
    assert (taken.status_code, taken.json()["error_code"]) == (422, "user_already_exists")
    assert (weak.status_code, weak.json()["error_code"]) == (422, "weak_password")


def test_anonymous_session_has_the_claim_is_anonymous(anonymous: Caller) -> None:
    if not anonymous.get("/auth/v1/settings").json()["external"].get("anonymous_users"):
        pytest.skip("this project has no anonymous users")
    session = anonymous.post("/auth/v1/signup", json={}).json()

    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["is_anonymous"] is True
    assert claims["role"] == "authenticated"
    assert session["user"]["is_anonymous"] is True
