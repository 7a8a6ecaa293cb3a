"""A session that was verified is remembered, and is let in again only while it would be verified again."""

import asyncio
import time
from typing import Any

import jwt
import pytest

from assetdock_server.errors import Unauthenticated
from assetdock_server.identity import jwks as jwks_module
from assetdock_server.identity import session
from tests.security.test_jwks import Auth, verifier


@pytest.fixture
def auth() -> Auth:
    auth = Auth()
    auth.rotate("first")
    return auth


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signature was looked at."""
    seen: list[str] = []
    decode = jwt.decode

    def counting(token: str, *arguments: Any, **how: Any) -> Any:
        seen.append(token)
        return decode(token, *arguments, **how)

    monkeypatch.setattr(session.jwt, "decode", counting)  # type: ignore[attr-defined]
    return seen


def test_the_same_token_is_verified_once(auth: Auth, verifications: list[str]) -> None:
    token = auth.token("first")

    async def ask() -> list[str]:
        sessions = verifier(auth)
        return [await sessions.verify(token) for _ in range(5)]

    assert asyncio.run(ask()) == ["x"] * 5
    assert verifications == [token]


def test_a_remembered_token_ends_when_it_expires(
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
        monkeypatch.setattr(session, "LEEWAY_SECONDS", -120)  # PyJWT has a clock of its own
        with pytest.raises(Unauthenticated) as refused:
            await sessions.verify(token)
        assert "expired" in refused.value.text

    asyncio.run(ask())
    assert verifications == [token, token]


def test_a_remembered_token_ends_with_its_key(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0)
    monkeypatch.setattr(jwks_module, "FRESH_SECONDS", 0)
    token = auth.token("first")

    async def ask() -> None:
        sessions = verifier(auth)
        await sessions.verify(token)
        auth.rotate("first", keep_old=False)  # another key under the same name
        with pytest.raises(Unauthenticated):
            await sessions.verify(token)
        auth.rotate("second", keep_old=False)
        with pytest.raises(Unauthenticated):
            await sessions.verify(token)

    asyncio.run(ask())


def test_one_changed_character_is_another_token(auth: Auth) -> None:
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


def test_no_more_are_remembered_than_there_is_room_for(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REMEMBERED", 3)

    async def ask() -> int:
        sessions = verifier(auth)
        for n in range(10):
            await sessions.verify(auth.token("first", typ=f"JWT{n}"))
        return len(sessions._verified)

    assert asyncio.run(ask()) == 3
