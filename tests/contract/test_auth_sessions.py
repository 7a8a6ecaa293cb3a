"""Sessions: how they begin, what is in them, how they are refreshed and how they end."""

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
def session(nobody: Caller, credentials: dict[str, str]) -> Session:
    answer = nobody.post("/auth/v1/token?grant_type=password", json=credentials)
    assert answer.status_code == 200, answer.text
    found: Session = answer.json()
    return found


def refresh(caller: Caller, token: str) -> httpx.Response:
    return caller.post("/auth/v1/token?grant_type=refresh_token", json={"refresh_token": token})


def as_user(caller: Caller, session: Session, method: str, path: str, **json: object) -> httpx.Response:
    headers = {"authorization": f"Bearer {session['access_token']}"}
    return caller.request(method, path, headers=headers, json=json or None)


def test_a_sign_in_is_a_bearer_session_of_an_hour(session: Session, credentials: dict[str, str]) -> None:
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    assert session["refresh_token"]
    assert session["user"]["email"] == credentials["email"]
    assert session["user"]["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert session["user"]["identities"][0]["provider"] == "email"


def test_an_access_token_has_gotrues_claims_and_a_published_key(nobody: Caller, session: Session) -> None:
    token = session["access_token"]
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})

    assert claims.keys() >= {"iss", "sub", "aud", "exp", "iat", "email", "phone", "app_metadata"}
    assert claims.keys() >= {"user_metadata", "role", "aal", "amr", "session_id", "is_anonymous"}
    assert (claims["aud"], claims["role"]) == ("authenticated", "authenticated")
    assert claims["iss"].endswith("/auth/v1")
    assert claims["sub"] == session["user"]["id"]
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["amr"][0]["method"] == "password"
    keys = nobody.get("/auth/v1/.well-known/jwks.json").json()["keys"]
    if header["alg"] == "ES256":
        key = next(each for each in keys if each["kid"] == header["kid"])
        assert "d" not in key
        jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience="authenticated")


def test_a_wrong_password_and_an_unknown_email_look_the_same(nobody: Caller, credentials: dict[str, str]) -> None:
    answers = [
        nobody.post("/auth/v1/token?grant_type=password", json={"email": email, "password": "wrong password"})
        for email in (credentials["email"], new_email())
    ]

    for answer in answers:
        assert answer.status_code == 400
        assert answer.json()["error_code"] == "invalid_credentials"
        assert answer.json()["code"] == 400
        assert answer.json()["msg"] == "Invalid login credentials"


def test_a_client_of_the_newer_api_gets_the_code_as_a_word(nobody: Caller) -> None:
    answer = nobody.post(
        "/auth/v1/token?grant_type=password",
        json={"email": new_email(), "password": "wrong password"},
        headers={"x-supabase-api-version": "2024-01-01"},
    )

    assert answer.json()["code"] == "invalid_credentials"
    assert answer.json()["message"] == "Invalid login credentials"


def test_a_refresh_token_is_replaced_when_it_is_used(nobody: Caller, session: Session) -> None:
    second = refresh(nobody, session["refresh_token"]).json()

    assert second["refresh_token"] != session["refresh_token"]
    assert second["user"]["id"] == session["user"]["id"]
    claims = [jwt.decode(each["access_token"], options={"verify_signature": False}) for each in (session, second)]
    assert claims[0]["session_id"] == claims[1]["session_id"]


def test_a_used_refresh_token_at_once_again_gives_the_present_one(nobody: Caller, session: Session) -> None:
    second = refresh(nobody, session["refresh_token"]).json()
    again = refresh(nobody, session["refresh_token"])

    assert again.status_code == 200
    assert again.json()["refresh_token"] == second["refresh_token"]


def test_an_unknown_refresh_token_is_refused(nobody: Caller) -> None:
    answer = refresh(nobody, "no-such-token")

    assert answer.status_code == 400
    assert answer.json()["error_code"] == "refresh_token_not_found"


def test_the_user_reads_and_changes_themselves(nobody: Caller, session: Session, credentials: dict[str, str]) -> None:
    changed = as_user(nobody, session, "PUT", "/auth/v1/user", data={"nickname": "Al"}, password="another one")
    read = as_user(nobody, session, "GET", "/auth/v1/user")

    assert changed.status_code == 200
    assert read.json()["user_metadata"]["nickname"] == "Al"
    body = {"email": credentials["email"], "password": "another one"}
    assert nobody.post("/auth/v1/token?grant_type=password", json=body).status_code == 200


def test_a_missing_and_a_forged_token_are_refused(nobody: Caller, session: Session) -> None:
    forged = {**session, "access_token": session["access_token"][:-8] + "AAAAAAAA"}
    answer = as_user(nobody, forged, "GET", "/auth/v1/user")

    assert answer.status_code == 403
    assert answer.json()["error_code"] == "bad_jwt"


def test_logging_out_ends_the_session_at_once(nobody: Caller, session: Session) -> None:
    assert as_user(nobody, session, "POST", "/auth/v1/logout?scope=local").status_code == 204

    answer = as_user(nobody, session, "GET", "/auth/v1/user")
    assert answer.status_code == 403
    assert answer.json()["error_code"] == "session_not_found"
    assert refresh(nobody, session["refresh_token"]).status_code == 400


def test_logging_out_elsewhere_keeps_this_session(nobody: Caller, credentials: dict[str, str]) -> None:
    here, there = (nobody.post("/auth/v1/token?grant_type=password", json=credentials).json() for _ in range(2))
    as_user(nobody, here, "POST", "/auth/v1/logout?scope=others")

    assert as_user(nobody, here, "GET", "/auth/v1/user").status_code == 200
    assert as_user(nobody, there, "GET", "/auth/v1/user").status_code == 403


def test_the_settings_say_what_sign_up_offers(nobody: Caller) -> None:
    settings = nobody.get("/auth/v1/settings").json()

    assert settings["external"]["email"] is True
    assert settings["disable_signup"] is False


def test_signing_up_with_an_email_that_is_taken_is_refused(nobody: Caller, credentials: dict[str, str]) -> None:
    if not nobody.get("/auth/v1/settings").json()["mailer_autoconfirm"]:
        pytest.skip("this project confirms emails, and hides which ones it knows")
    fresh = nobody.post("/auth/v1/signup", json={"email": new_email(), "password": "a password"})
    taken = nobody.post("/auth/v1/signup", json=credentials)
    weak = nobody.post("/auth/v1/signup", json={"email": new_email(), "password": "short"})

    assert fresh.json()["access_token"]
    assert (taken.status_code, taken.json()["error_code"]) == (422, "user_already_exists")
    assert (weak.status_code, weak.json()["error_code"]) == (422, "weak_password")


def test_an_anonymous_session_says_so(nobody: Caller) -> None:
    if not nobody.get("/auth/v1/settings").json()["external"].get("anonymous_users"):
        pytest.skip("this project has no anonymous users")
    session = nobody.post("/auth/v1/signup", json={}).json()

    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["is_anonymous"] is True
    assert claims["role"] == "authenticated"
    assert session["user"]["is_anonymous"] is True
