"""Credentials that are none, or no longer."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from assetdock_server.identity import api_key
from devstack.stack import Stack
from tests.callers import BOTH_ENDPOINTS, Caller, Project, assert_rejected

Sign = Callable[[dict[str, Any]], str]


def attempt(upload_url: str, *authorizations: str) -> httpx.Response:
    headers = [("Authorization", value) for value in authorizations]
    return httpx.post(upload_url, headers=headers, json={"type": "audio"})


def session_claims(owner: Caller) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(owner.credential, options={"verify_signature": False})
    return claims


@BOTH_ENDPOINTS
@pytest.mark.parametrize(
    "authorization",
    ["Basic dXNlcjpwYXNz", "Bearer", "Bearer two words", "Token abc", "Bearer abc", "Bearer a.b", "Bearer a.b.c",
     "Bearer a.b.c.d", "Bearer rk_live_short", "Bearer eyJhbGciOiJub25lIn0.e30.", "rk_live_x"],
)  # fmt: skip
def test_what_is_no_credential_is_unauthenticated(upload_url: str, authorization: str) -> None:
    assert_rejected(attempt(upload_url, authorization), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_no_header_and_two_headers_are_unauthenticated(upload_url: str, owner: Caller) -> None:
    assert_rejected(attempt(upload_url), 401, "unauthenticated")
    assert_rejected(
        attempt(upload_url, f"Bearer {owner.credential}", f"Bearer {owner.credential}"), 401, "unauthenticated"
    )


@BOTH_ENDPOINTS
def test_the_scheme_may_be_written_in_any_case(upload_url: str, owner: Caller) -> None:
    assert attempt(upload_url, f"bEARER {owner.credential}").status_code == 201


@BOTH_ENDPOINTS
@pytest.mark.parametrize(
    "change",
    [
        {"exp": int(time.time()) - 60},
        {"exp": None},
        {"aud": "somebody-else"},
        {"aud": None},
        {"iss": "https://other.supabase.co/auth/v1"},
        {"iss": "assetdock"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "not-a-uuid"},
        {"role": "service_role"},
        {"role": "anon"},
        {"role": "assetdock_worker"},
        {"role": None},
        {"nbf": int(time.time()) + 3600},
        {"api_key_id": "019de7f7-3a52-74d1-9eeb-323e0bfb7bb9"},
        {"api_key_id": None, "keep_null": True},
    ],
)
def test_a_token_signed_by_the_project_but_not_a_users_session_is_unauthenticated(
    upload_url: str, owner: Caller, sign: Sign, change: dict[str, Any]
) -> None:
    keep_null = change.get("keep_null")
    claims = {**session_claims(owner), **{name: value for name, value in change.items() if name != "keep_null"}}
    if not keep_null:
        claims = {name: value for name, value in claims.items() if value is not None}

    assert_rejected(attempt(upload_url, f"Bearer {sign(claims)}"), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_the_unchanged_claims_signed_again_are_a_session(upload_url: str, owner: Caller, sign: Sign) -> None:
    """Shows that the test above refuses for the claim it changes and for nothing else."""
    assert attempt(upload_url, f"Bearer {sign(session_claims(owner))}").status_code == 201


@BOTH_ENDPOINTS
def test_forged_signatures_are_unauthenticated(upload_url: str, owner: Caller, signing_jwk: dict[str, str]) -> None:
    claims = session_claims(owner)
    own = ec.generate_private_key(ec.SECP256R1())
    public = jwt.PyJWK({name: value for name, value in signing_jwk.items() if name != "d"}).key.public_bytes
    header, payload, signature = owner.credential.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()

    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    pem = public(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    hmac_with_public_key = jwt.api_jws.PyJWS(algorithms=["HS256"])
    hmac_with_public_key._algorithms["HS256"].prepare_key = lambda key: key  # type: ignore[method-assign]
    for forged in (
        jwt.encode(claims, own, "ES256", headers={"kid": signing_jwk["kid"]}),
        jwt.encode(claims, own, "ES256", headers={"kid": "unknown"}),
        jwt.encode(claims, own, "ES256"),
        jwt.encode(claims, "x" * 32, "HS256"),
        hmac_with_public_key.encode(json.dumps(claims).encode(), pem, "HS256", {"kid": signing_jwk["kid"]}),
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{none}.{payload}.{signature}",
        f"{none}.{payload}.",
    ):
        assert_rejected(attempt(upload_url, f"Bearer {forged}"), 401, "unauthenticated")


def test_a_key_with_a_broken_checksum_is_told_from_an_unknown_one_without_the_database(
    upload_url: str, owner: Caller, key_holder: Caller
) -> None:
    key = key_holder.credential
    swapped = key[:20] + ("A" if key[20] != "A" else "B") + key[21:]

    mistyped = assert_rejected(attempt(upload_url, f"Bearer {swapped}"), 401, "unauthenticated")
    truncated = assert_rejected(attempt(upload_url, f"Bearer {key[:-1]}"), 401, "unauthenticated")
    unknown = assert_rejected(attempt(upload_url, f"Bearer {api_key.make().plaintext}"), 401, "unauthenticated")

    assert "checksum" in mistyped["message"]
    assert "checksum" in truncated["message"]
    assert "checksum" not in unknown["message"]


@pytest.mark.parametrize("upload_url", ["edge function"], indirect=True)
def test_the_edge_function_takes_no_api_keys(upload_url: str, key_holder: Caller) -> None:
    error = assert_rejected(attempt(upload_url, f"Bearer {key_holder.credential}"), 401, "unauthenticated")

    assert "takes sessions only" in error["message"]


@BOTH_ENDPOINTS
def test_a_minted_token_is_refused_when_it_is_presented_from_outside(
    upload_url: str, owner: Caller, sign: Sign
) -> None:
    key = owner.mint_key()
    now = int(time.time())
    minted = sign(
        {"iss": "assetdock", "aud": "authenticated", "role": "authenticated", "sub": owner.owner_id,
         "api_key_id": key["id"], "iat": now, "exp": now + 300}
    )  # fmt: skip

    assert_rejected(attempt(upload_url, f"Bearer {minted}"), 401, "unauthenticated")


def test_a_banned_or_deleted_user_is_refused_with_session_and_key(
    project: Project, owner: Caller, key_holder: Caller, database: psycopg.Connection[Any]
) -> None:
    assert key_holder.http.get("/assets").status_code == 200

    database.execute("update auth.users set banned_until = now() + interval '1 hour' where id = %s", [owner.owner_id])
    assert_rejected(owner.http.get("/assets"), 401, "unauthenticated")
    assert_rejected(key_holder.http.get("/assets"), 401, "unauthenticated")

    database.execute("update auth.users set banned_until = null, deleted_at = now() where id = %s", [owner.owner_id])
    assert_rejected(owner.http.get("/assets"), 401, "unauthenticated")
    assert_rejected(key_holder.http.get("/assets"), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_a_secret_key_of_the_project_is_no_credential_here(upload_url: str, stack: Stack) -> None:
    assert_rejected(attempt(upload_url, f"Bearer {stack.secret_key}"), 401, "unauthenticated")
    assert_rejected(attempt(upload_url, f"Bearer {stack.publishable_key}"), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_preflights_are_answered_without_a_token(upload_url: str) -> None:
    answer = httpx.options(
        upload_url,
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )

    assert (answer.is_success, answer.content) == (True, b"")  # Supabase's gateway answers before the function: 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
