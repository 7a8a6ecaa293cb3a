"""Tokens that PostgREST or Storage refuses. Ours are minted once more, then they are 503; a session is 401."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from assetdock_server.config import service_settings
from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.gateways.database import KeyDirectory
from assetdock_server.gateways.pool import http_pool
from assetdock_server.gateways.postgrest import Postgrest
from assetdock_server.gateways.refused_tokens import RefusedTokenError
from assetdock_server.gateways.storage import Storage
from assetdock_server.identity import minting
from assetdock_server.identity.minting import LIFETIME, RENEW_BEFORE, Minter
from assetdock_server.identity.signing import SigningKey
from devstack.ports import Ports
from tests.attacks import Record
from tests.callers import Caller
from tests.processes import Service
from tests.service.scripted_upstream import ANYTHING, Script, Upstream, last_response, message, upstream

REUSE = LIFETIME - RENEW_BEFORE


def foreign_key() -> str:
    """A private JWK that the project does not know."""
    key = json.loads(ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1())))
    return json.dumps({**key, "kid": "foreign", "alg": "ES256"})


def ping(environment: dict[str, str], minter: Minter | None = None) -> None:
    """What GET /readyz asks of the database."""
    settings = service_settings(environment)

    async def run() -> None:
        async with http_pool() as pool:
            own = minter or Minter(settings.signing_key)
            connection = settings.connection
            postgrest = Postgrest(pool, url=connection.rest_url, publishable_key=connection.publishable_key, minter=own)
            await KeyDirectory(postgrest, own).ping()

    asyncio.run(run())


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of the service, relative to that of PostgREST."""

    def set_by(seconds: float) -> None:
        clock = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
        monkeypatch.setattr(minting, "time", clock)

    return set_by


@pytest.mark.parametrize("seconds", [120, 40, 0, -40, -120])
def test_two_minutes_between_the_clocks_are_tolerated_until_the_end_of_a_tokens_reuse(
    service_environment: dict[str, str], set_clock: Callable[[float], None], seconds: float, attack: Record
) -> None:
    set_clock(seconds)
    ping(service_environment)
    set_clock(seconds - REUSE)  # a token that was minted this long ago
    ping(service_environment)
    if seconds > 30:
        attack(f"12 a clock {seconds} s fast, with an API key", before="401", now="200", bound="200")


def test_a_clock_that_is_wrong_by_ten_minutes_is_named(
    service_environment: dict[str, str], set_clock: Callable[[float], None]
) -> None:
    set_clock(-600)

    with structlog.testing.capture_logs() as logs, pytest.raises(RefusedTokenError) as error:
        ping(service_environment)

    assert (error.value.status, error.value.readiness) == (503, "clock_skew")
    line = next(each for each in logs if each["event"] == "minted_token_refused")
    assert line["log_level"] == "error"
    assert "clock" in line["advice"]


def test_a_token_that_expired_during_a_suspension_is_minted_once_more(service_environment: dict[str, str]) -> None:
    minter = Minter(service_settings(service_environment).signing_key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minting, "time", SimpleNamespace(time=lambda: time.time() - 3600, monotonic=time.monotonic))
        expired = minter.for_gateway()

    assert minter.for_gateway() == expired
    ping(service_environment, minter)
    assert minter.for_gateway() != expired


def test_a_signing_key_that_the_project_does_not_know_is_503_and_named(
    service_environment: dict[str, str], key_holder: Caller, attack: Record
) -> None:
    wrong = Service({**service_environment, "SUPABASE_SIGNING_KEY": foreign_key()}, Ports.free().gateway)
    try:
        headers = {"Authorization": f"Bearer {key_holder.credential}"}
        response = httpx.get(f"{wrong.url}/api/v1/assets", headers=headers)
        ready = httpx.get(f"{wrong.url}/readyz")
        output = wrong.output
    finally:
        wrong.stop()

    attack(
        "12 an unknown signing key, with an API key",
        before="401",
        now=f"{response.status_code}, /readyz {ready.json()['checks']['database']}",
        bound="503, /readyz signing_key_refused",
    )
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "upstream_unavailable"
    assert response.headers["Retry-After"] == "30"
    assert ready.status_code == 503
    assert ready.json()["checks"]["database"] == "signing_key_refused"
    lines = [json.loads(line) for line in output.splitlines() if "minted_token_refused" in line]
    assert "SUPABASE_SIGNING_KEY" in lines[0]["advice"]


def refusing(status: str, body: dict[str, Any], times: int = 10**6) -> Script:
    """Refuses the first tokens, and accepts the others with the JSON `true`."""
    left = times

    async def script(served: Upstream, _: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        head, _body = await message(reader)
        served.requests.append(head)
        left -= 1
        writer.write(last_response("200 OK", b"true") if left < 0 else last_response(status, json.dumps(body).encode()))

    return script


def refused(script: Script, call: Callable[[Postgrest, Storage], Awaitable[object]], minter: Minter | None) -> Any:
    """The error or the result, and the tokens that were sent."""

    async def run() -> tuple[object, list[bytes]]:
        async with upstream(script) as served, http_pool() as pool:
            postgrest = Postgrest(pool, url=f"{served.url}/rest/v1", publishable_key="key", minter=minter)
            storage = Storage(pool, url=f"{served.url}/storage/v1/", publishable_key="key", minter=minter)
            try:
                result: object = await call(postgrest, storage)
            except ApiError as error:
                result = error
            tokens = [
                line.removeprefix(b"Bearer ")
                for head in served.requests
                for name, _, line in (each.partition(b": ") for each in head.split(b"\r\n"))
                if name.lower() == b"authorization"
            ]
            return result, tokens

    return asyncio.run(run())


WRONG_KEY = {"code": "PGRST301", "message": "No suitable key or wrong key type", "details": None, "hint": None}
WRONG_KEY_IN_STORAGE = {
    "statusCode": "403",
    "error": "Unauthorized",
    "message": "no applicable key found in the JSON Web Key Set",
}


def minter() -> Minter:
    return Minter(SigningKey.from_secret(b"s" * 32))


@pytest.mark.parametrize("idempotent", [True, False])
@pytest.mark.parametrize("way", ["official", "direct"])
def test_a_token_of_ours_is_sent_twice_and_a_second_refusal_is_503(way: str, idempotent: bool) -> None:
    own = minter()

    def call(postgrest: Postgrest, _: Storage) -> Awaitable[object]:
        send = postgrest.call if way == "official" else postgrest.call_directly
        return send("f", {}, ANYTHING, token=own.for_api_key("key", "owner"), idempotent=idempotent)

    with structlog.testing.capture_logs() as logs:
        error, tokens = refused(refusing("401 Unauthorized", WRONG_KEY), call, own)
    result, _ = refused(refusing("401 Unauthorized", WRONG_KEY, times=1), call, own)

    assert isinstance(error, RefusedTokenError)
    assert error.readiness == "signing_key_refused"
    assert len(tokens) == 2
    assert "SUPABASE_JWT_SECRET" in next(each for each in logs if each["event"] == "minted_token_refused")["advice"]
    assert result is True
    assert jwt.decode(tokens[1], options={"verify_signature": False})["api_key_id"] == "key"


@pytest.mark.parametrize("operation", ["sign_upload", "sign_download", "remove"])
def test_storage_refuses_tokens_like_the_database(operation: str) -> None:
    own = minter()
    token = own.for_api_key("key", "owner")
    script = refusing("400 Bad Request", WRONG_KEY_IN_STORAGE)

    ours, tokens = refused(script, lambda _, storage: getattr(storage, operation)(token, "assets", "x"), own)
    session, _ = refused(script, lambda _, storage: getattr(storage, operation)("a.session.token", "assets", "x"), own)
    workers, once = refused(script, lambda _, storage: getattr(storage, operation)(token, "assets", "x"), None)

    assert isinstance(ours, RefusedTokenError)
    assert len(tokens) == 2
    assert isinstance(session, Unauthenticated)
    assert isinstance(workers, RefusedTokenError)
    assert len(once) == 1, "nothing can mint the worker's token again"


@pytest.mark.parametrize(
    ("code", "upstream_message", "reason"),
    [
        # PostgREST 12
        ("PGRST301", "JWT expired", "expired"),
        ("PGRST301", "JWTIssuedAtFuture", "premature"),
        ("PGRST301", "JWTNotYetValid", "premature"),
        ("PGRST301", "JWSError JWSInvalidSignature", "invalid"),
        ("PGRST302", "Anonymous access is disabled", "invalid"),
        # PostgREST 13 to 16
        ("PGRST303", "JWT expired", "expired"),
        ("PGRST303", "JWT issued at future", "premature"),
        ("PGRST303", "JWT not yet valid", "premature"),
        ("PGRST303", "JWT not in audience", "invalid"),
        ("PGRST301", "No suitable key or wrong key type", "invalid"),
        ("PGRST301", "JWT cryptographic operation failed", "invalid"),
    ],
)
def test_a_refused_session_is_the_callers_unless_the_clocks_differ(
    code: str, upstream_message: str, reason: str
) -> None:
    script = refusing("401 Unauthorized", {"code": code, "message": upstream_message})

    async def call(postgrest: Postgrest, _: Storage) -> object:
        return await postgrest.call_directly("f", {}, ANYTHING, token="a.session.token")

    session, _ = refused(script, call, minter())
    workers, _ = refused(script, call, None)

    assert session.code == ("upstream_unavailable" if reason == "premature" else "unauthenticated")
    assert workers.reason == reason


def test_a_postgrest_without_a_key_is_not_the_callers_fault() -> None:
    script = refusing("500 Internal Server Error", {"code": "PGRST300", "message": "Server lacks JWT secret"})

    error, _ = refused(
        script, lambda postgrest, _: postgrest.call_directly("f", {}, ANYTHING, token="a.session.token"), minter()
    )

    assert error.code == "upstream_error"
