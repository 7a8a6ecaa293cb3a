"""The cache of verified sessions accepts a token only while a new verification would accept it."""

import asyncio
import time
from typing import Any

import jwt
import pytest

from assetdock_server.errors import Unauthenticated
from assetdock_server.identity import jwks as jwks_module
from assetdock_server.identity import session
from tests.security.auth import Auth, verifier


@pytest.fixture
def auth() -> Auth:
    auth = Auth()
    auth.rotate("first")
    return auth


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signature was checked."""
    seen: list[str] = []
    decode = jwt.decode

    def counting(token: str, *arguments: Any, **options: Any) -> Any:
        seen.append(token)
        return decode(token, *arguments, **options)

    monkeypatch.setattr(session.jwt, "decode", counting)  # type: ignore[attr-defined]
    return seen


def test_the_same_token_is_verified_once(auth: Auth, verifications: list[str]) -> None:
    token = auth.token("first")

    async def ask() -> list[str]:
        sessions = verifier(auth)
        return [await sessions.verify(token) for _ in range(5)]

    assert asyncio.run(ask()) == ["x"] * 5
    assert verifications == [token]


def test_a_cached_token_is_rejected_once_it_expires(
    auth: Auth, monkeypatch: pytest.MonkeyPatch, verifications: list[str]
) -> None:
    token = auth.token("first")

    async def ask() -> None:
        sessions = verifier(auth)
        await sessions.verify(token)
        in_time = time.time() + 60 + session.LEEWAY_SECONDS
        monkeypatch.setattr(session.time, "time", lambda: in_time - 2)  # type: ignore[attr-defined]
        await sessions.verify(token)
        monkeypatch.setattr(session.time, "time", lambda: in_time + 2)  # type: ignore[attr-defined]
        monkeypatch.setattr(session, "LEEWAY_SECONDS", -120)  # PyJWT reads another clock
        with pytest.raises(Unauthenticated) as raised:
            await sessions.verify(token)
        assert "expired" in raised.value.text

    asyncio.run(ask())
    assert verifications == [token, token]


def test_a_cached_token_is_rejected_once_its_key_is_gone(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0)
    monkeypatch.setattr(jwks_module, "FRESH_SECONDS", 0)
    token = auth.token("first")

    async def ask() -> None:
        sessions = verifier(auth)
        await sessions.verify(token)
        auth.rotate("first", keep_old=False)  # another key with the same kid
        with pytest.raises(Unauthenticated):
            await sessions.verify(token)
        auth.rotate("second", keep_old=False)
        with pytest.raises(Unauthenticated):
            await sessions.verify(token)

    asyncio.run(ask())


def test_a_token_with_one_changed_character_is_not_in_the_cache(auth: Auth) -> None:
    token = auth.token("first")
    head, payload, signature = token.split(".")
    other = "B" if signature[0] == "A" else "A"

    async def ask() -> None:
        sessions = verifier(auth)
        await sessions.verify(token)
        for forged in (f"{head}.{payload}.{other}{signature[1:]}", f"{head}.{payload}x.{signature}"):
            with pytest.raises(Unauthenticated):
                await sessions.verify(forged)

    asyncio.run(ask())


def test_the_cache_holds_a_limited_number_of_tokens(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CACHE_SIZE", 3)

    async def ask() -> int:
        sessions = verifier(auth)
        for n in range(10):
            await sessions.verify(auth.token("first", typ=f"JWT{n}"))
        return len(sessions._cache)

    assert asyncio.run(ask()) == 3
