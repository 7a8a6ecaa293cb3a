"""The Supabase under test, its callers, and the requests that most tests make."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import jwt
import pytest

MakeBucket = Callable[..., str]
RUN = secrets.token_hex(4)


@dataclass(frozen=True)
class Target:
    url: str
    publishable_key: str
    secret_key: str
    db_url: str
    signing_key: str | None

    def mint(self, **claims: object) -> str:
        """A token signed with the project's key. Skips the test without SUPABASE_SIGNING_KEY."""
        if self.signing_key is None:
            pytest.skip("needs SUPABASE_SIGNING_KEY")
        jwk = json.loads(self.signing_key)
        now = int(time.time())
        return jwt.encode(
            {"aud": "authenticated", "iat": now, "exp": now + 300, **claims},
            jwt.PyJWK(jwk, algorithm="ES256"),
            algorithm="ES256",
            headers={"kid": jwk["kid"]},
        )


class Caller(httpx.Client):
    """An HTTP client with the credentials of one caller."""

    def __init__(self, target: Target, apikey: str, token: str | None = None, user: Any = None) -> None:
        headers = {"apikey": apikey} | ({"authorization": f"Bearer {token}"} if token else {})
        super().__init__(base_url=target.url, headers=headers, timeout=240, trust_env=False)
        self.target = target
        self.token = token
        self.user = user or {}
        self.id = str(self.user.get("id", ""))


def sign_upload(caller: Caller, bucket: str, name: str, **headers: str) -> str:
    """The path for the PUT, below /storage/v1."""
    response = caller.post(f"/storage/v1/object/upload/sign/{bucket}/{name}", json={}, headers=headers)
    assert response.status_code == 200, response.text
    return str(response.json()["url"])


def put(
    target: Target, signed: str, content: Any = b"some bytes", content_type: str | None = "text/plain"
) -> httpx.Response:
    """An upload to a signed URL, without credentials."""
    headers = {"content-type": content_type} if content_type else {}
    return httpx.put(f"{target.url}/storage/v1{signed}", content=content, headers=headers, timeout=240, trust_env=False)


def storage_error(response: httpx.Response) -> tuple[int, str, str]:
    """(HTTP status, status in the body, code) of Storage's error response, whose fields are checked."""
    body = response.json()
    assert set(body) >= {"statusCode", "error", "message"}, body
    return response.status_code, body["statusCode"], body.get("code", "")
