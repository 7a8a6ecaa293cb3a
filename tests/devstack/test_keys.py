"""Keys, and sessions signed with the one or the other kind."""

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
    answer = httpx.post(
        f"{stack.supabase_url}/auth/v1/signup",
        headers={"apikey": stack.publishable_key},
        json={"email": f"{uuid.uuid4()}@example.com", "password": "a password"},
        trust_env=False,
    )
    session: dict[str, str] = answer.json()
    return session


def test_keys_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    first, again = Keys.of(tmp_path), Keys.of(tmp_path)

    assert first == again
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert first.publishable_key.startswith("sb_publishable_")
    assert first.secret_key.startswith("sb_secret_")


def test_what_is_published_holds_no_secret(tmp_path: Path) -> None:
    keys = Keys.of(tmp_path, jwt_secret="a-secret-of-at-least-thirty-two-characters")

    assert keys.signing_jwk["d"] not in json.dumps(keys.public_jwks)
    assert "oct" not in json.dumps(keys.public_jwks)


def test_sessions_are_signed_with_the_projects_key_or_its_shared_secret(stack: Stack, legacy_stack: Stack) -> None:
    for each, algorithm in ((stack, "ES256"), (legacy_stack, "HS256")):
        token = sign_up(each)["access_token"]
        assert jwt.get_unverified_header(token)["alg"] == algorithm
        for path in ("/rest/v1/", "/auth/v1/user", "/storage/v1/bucket"):
            headers = {"apikey": each.publishable_key, "authorization": f"Bearer {token}"}
            answer = httpx.get(f"{each.supabase_url}{path}", headers=headers, trust_env=False)
            assert answer.status_code == 200, (path, answer.text)


def test_a_legacy_stack_takes_tokens_of_the_signing_key_too(legacy_stack: Stack) -> None:
    token = legacy_stack.keys.sign_es256({"role": "authenticated", "sub": str(uuid.uuid4())})
    headers = {"apikey": legacy_stack.publishable_key, "authorization": f"Bearer {token}"}

    answer = httpx.get(f"{legacy_stack.supabase_url}/rest/v1/", headers=headers, trust_env=False)

    assert answer.status_code == 200


def test_an_upload_url_that_has_expired_starts_no_upload(legacy_stack: Stack) -> None:
    url, headers = f"{legacy_stack.supabase_url}/storage/v1", {"apikey": legacy_stack.secret_key}
    legacy_stack.create_bucket("short", {})
    signed = httpx.post(f"{url}/object/upload/sign/short/a.txt", headers=headers, trust_env=False).json()["url"]
    expiry = jwt.decode(signed.split("token=")[1], options={"verify_signature": False})["exp"]

    def is_refused() -> bool:
        answer = httpx.put(f"{url}{signed}", content=b"x", trust_env=False).json()
        httpx.request("DELETE", f"{url}/object/short", headers=headers, json={"prefixes": ["a.txt"]}, trust_env=False)
        return bool(answer.get("code") == "InvalidJWT" and answer["statusCode"] == "400")

    assert expiry
    eventually(is_refused)


def test_a_refresh_token_used_again_later_ends_its_session(stack: Stack) -> None:
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

    # The parent of the present token is taken: the answer that carried the present one may have been lost.
    assert refresh(second).json()["refresh_token"] == third
    reused = refresh(first)
    assert (reused.status_code, reused.json()["error_code"]) == (400, "refresh_token_already_used")
    assert refresh(third).status_code == 400
