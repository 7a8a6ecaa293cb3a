"""The Supabase under test, those who call it, and the two or three calls that every test makes."""

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
        """A token signed by the project's own key; skips the test where we do not have it."""
        if self.signing_key is None:
            pytest.skip("CONTRACT_SIGNING_KEY is not set")
        jwk = json.loads(self.signing_key)
        now = int(time.time())
        return jwt.encode(
            {"aud": "authenticated", "iat": now, "exp": now + 300, **claims},
            jwt.PyJWK(jwk, algorithm="ES256"),
            algorithm="ES256",
            headers={"kid": jwk["kid"]},
        )


class Caller(httpx.Client):
    """An HTTP client in somebody's name."""

    def __init__(self, target: Target, apikey: str, token: str | None = None, user: Any = None) -> None:
        headers = {"apikey": apikey} | ({"authorization": f"Bearer {token}"} if token else {})
        super().__init__(base_url=target.url, headers=headers, timeout=30, trust_env=False)
        self.target = target
        self.token = token
        self.user = user or {}
        self.id = str(self.user.get("id", ""))


def sign_upload(caller: Caller, bucket: str, name: str, **headers: str) -> str:
    """The path under /storage/v1 to PUT to."""
    answer = caller.post(f"/storage/v1/object/upload/sign/{bucket}/{name}", json={}, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


def put(
    target: Target, signed: str, content: Any = b"some bytes", content_type: str | None = "text/plain"
) -> httpx.Response:
    """A PUT as the uploader makes it: with the URL, and nothing that says who they are."""
    headers = {"content-type": content_type} if content_type else {}
    return httpx.put(f"{target.url}/storage/v1{signed}", content=content, headers=headers, timeout=30, trust_env=False)


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """(HTTP status, the status in the body, code): Storage's error envelope, which must be whole."""
    body = answer.json()
    assert set(body) >= {"statusCode", "error", "message"}, body
    return answer.status_code, body["statusCode"], body.get("code", "")
