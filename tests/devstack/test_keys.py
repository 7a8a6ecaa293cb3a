"""The stack's keys, and tokens signed with them."""

import json
import stat
import uuid
from pathlib import Path

import httpx
import jwt
import psycopg

from devstack.keys import Keys
from devstack.stack import Stack
from tests.polling import eventually


def sign_up(stack: Stack) -> dict[str, str]:
    response = httpx.post(
        f"{stack.supabase_url}/auth/v1/signup",
        headers={"apikey": stack.publishable_key},
        json={"email": f"{uuid.uuid4()}@example.com", "password": "a password"},
        trust_env=False,
    )
    session: dict[str, str] = response.json()
    return session


def test_keys_are_generated_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    first, again = Keys.of(tmp_path), Keys.of(tmp_path)

    assert first == again
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert first.publishable_key.startswith("sb_publishable_")
    assert first.secret_key.startswith("sb_secret_")


def test_published_keys_contain_no_secret(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path, jwt_secret="a-secret-of-at-least-thirty-two-characters")

    assert keys.signing_jwk["d"] not in json.dumps(keys.public_jwks)
    assert "oct" not in json.dumps(keys.public_jwks)


def test_sessions_are_signed_with_the_signing_key_or_the_legacy_secret(stack: Stack, legacy_stack: Stack) -> None:
    for each, algorithm in ((stack, "ES256"), (legacy_stack, "HS256")):
        token = sign_up(each)["access_token"]
        assert jwt.get_unverified_header(token)["alg"] == algorithm
        for path in ("/rest/v1/", "/auth/v1/user", "/storage/v1/bucket"):
            headers = {"apikey": each.publishable_key, "authorization": f"Bearer {token}"}
            response = httpx.get(f"{each.supabase_url}{path}", headers=headers, trust_env=False)
            assert response.status_code == 200, (path, response.text)


def test_legacy_stack_accepts_tokens_of_the_signing_key(legacy_stack: Stack) -> None:
    token = legacy_stack.keys.sign_es256({"role": "authenticated", "sub": str(uuid.uuid4())})
    headers = {"apikey": legacy_stack.publishable_key, "authorization": f"Bearer {token}"}

    response = httpx.get(f"{legacy_stack.supabase_url}/rest/v1/", headers=headers, trust_env=False)

    assert response.status_code == 200


def test_expired_upload_url_is_rejected(legacy_stack: Stack) -> None:
    url, headers = f"{legacy_stack.supabase_url}/storage/v1", {"apikey": legacy_stack.secret_key}
    legacy_stack.create_bucket("short", {})
    signed = httpx.post(f"{url}/object/upload/sign/short/a.txt", headers=headers, trust_env=False).json()["url"]
    expiry = jwt.decode(signed.split("token=")[1], options={"verify_signature": False})["exp"]

    def is_rejected() -> bool:
        response = httpx.put(f"{url}{signed}", content=b"x", trust_env=False).json()
        httpx.request("DELETE", f"{url}/object/short", headers=headers, json={"prefixes": ["a.txt"]}, trust_env=False)
        return bool(response.get("code") == "InvalidJWT" and response["statusCode"] == "400")

    assert expiry
    eventually(is_rejected)


def test_late_reuse_of_a_refresh_token_ends_its_session(stack: Stack) -> None:
    def refresh(token: str) -> httpx.Response:
        return httpx.post(
            f"{stack.supabase_url}/auth/v1/token?grant_type=refresh_token",
            headers={"apikey": stack.publishable_key},
            json={"refresh_token": token},
            trust_env=False,
        )

    first = sign_up(stack)["refresh_token"]
    second = refresh(first).json()["refresh_token"]
    third = refresh(second).json()["refresh_token"]
    with psycopg.connect(stack.db_url) as superuser:
        superuser.execute("update auth.refresh_tokens set updated_at = updated_at - interval '11 seconds'")

    # The parent of the current token is accepted, because the response with the current token may have been lost.
    assert refresh(second).json()["refresh_token"] == third
    reused = refresh(first)
    assert (reused.status_code, reused.json()["error_code"]) == (400, "refresh_token_already_used")
    assert refresh(third).status_code == 400
