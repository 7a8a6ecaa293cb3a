"""Credentials that are malformed, forged or no longer valid."""

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
def test_malformed_credentials_are_unauthenticated(upload_url: str, authorization: str) -> None:
    assert_rejected(attempt(upload_url, authorization), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_missing_and_repeated_authorization_headers_are_unauthenticated(upload_url: str, owner: Caller) -> None:
    assert_rejected(attempt(upload_url), 401, "unauthenticated")
    assert_rejected(
        attempt(upload_url, f"Bearer {owner.credential}", f"Bearer {owner.credential}"), 401, "unauthenticated"
    )


@BOTH_ENDPOINTS
def test_the_authorization_scheme_is_case_insensitive(upload_url: str, owner: Caller) -> None:
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
def test_signed_tokens_that_are_not_user_sessions_are_unauthenticated(
    upload_url: str, owner: Caller, sign: Sign, change: dict[str, Any]
) -> None:
    keep_null = change.get("keep_null")
    claims = {**session_claims(owner), **{name: value for name, value in change.items() if name != "keep_null"}}
    if not keep_null:
        claims = {name: value for name, value in claims.items() if value is not None}

    assert_rejected(attempt(upload_url, f"Bearer {sign(claims)}"), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_unchanged_session_claims_signed_again_are_accepted(upload_url: str, owner: Caller, sign: Sign) -> None:
    """Shows that the changed claim is the only reason for the rejections in the test above."""
    assert attempt(upload_url, f"Bearer {sign(session_claims(owner))}").status_code == 201


@BOTH_ENDPOINTS
def test_tokens_with_forged_signatures_are_unauthenticated(
    upload_url: str, owner: Caller, signing_jwk: dict[str, str]
) -> None:
    claims = session_claims(owner)
    other_key = ec.generate_private_key(ec.SECP256R1())
    public = jwt.PyJWK({name: value for name, value in signing_jwk.items() if name != "d"}).key.public_bytes
    header, payload, signature = owner.credential.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).rstrip(b"=").decode()

    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    pem = public(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    hmac_with_public_key = jwt.api_jws.PyJWS(algorithms=["HS256"])
    hmac_with_public_key._algorithms["HS256"].prepare_key = lambda key: key  # type: ignore[method-assign]
    for forged in (
        jwt.encode(claims, other_key, "ES256", headers={"kid": signing_jwk["kid"]}),
        jwt.encode(claims, other_key, "ES256", headers={"kid": "unknown"}),
        jwt.encode(claims, other_key, "ES256"),
        jwt.encode(claims, "x" * 32, "HS256"),
        hmac_with_public_key.encode(json.dumps(claims).encode(), pem, "HS256", {"kid": signing_jwk["kid"]}),
        f"{header}.{payload}.{signature[:-4]}AAAA",
        f"{none}.{payload}.{signature}",
        f"{none}.{payload}.",
    ):
        assert_rejected(attempt(upload_url, f"Bearer {forged}"), 401, "unauthenticated")


def test_errors_distinguish_api_keys_with_a_wrong_checksum_from_unknown_ones(
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
def test_the_edge_function_rejects_api_keys(upload_url: str, key_holder: Caller) -> None:
    error = assert_rejected(attempt(upload_url, f"Bearer {key_holder.credential}"), 401, "unauthenticated")

    assert "takes sessions only" in error["message"]


@BOTH_ENDPOINTS
def test_clients_cannot_use_tokens_that_the_service_mints(upload_url: str, owner: Caller, sign: Sign) -> None:
    key = owner.mint_key()
    now = int(time.time())
    minted = sign(
        {"iss": "assetdock", "aud": "authenticated", "role": "authenticated", "sub": owner.owner_id,
         "api_key_id": key["id"], "iat": now, "exp": now + 300}
    )  # fmt: skip

    assert_rejected(attempt(upload_url, f"Bearer {minted}"), 401, "unauthenticated")


def test_sessions_and_keys_of_banned_or_deleted_users_are_unauthenticated(
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
def test_secret_and_publishable_keys_of_the_project_are_unauthenticated(upload_url: str, stack: Stack) -> None:
    assert_rejected(attempt(upload_url, f"Bearer {stack.secret_key}"), 401, "unauthenticated")
    assert_rejected(attempt(upload_url, f"Bearer {stack.publishable_key}"), 401, "unauthenticated")


@BOTH_ENDPOINTS
def test_preflights_need_no_credential(upload_url: str) -> None:
    response = httpx.options(
        upload_url,
        headers={
            "Origin": "https://app.example.com",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
    )

    assert (response.is_success, response.content) == (True, b"")  # the gateway of Supabase responds itself, with 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert "authorization" in response.headers["access-control-allow-headers"].lower()
