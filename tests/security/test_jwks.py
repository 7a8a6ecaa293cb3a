"""The verifier of sessions handles a key set that is slow, broken, empty, rotated, or requested in a flood."""

import asyncio
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.identity import jwks as jwks_module
from tests.polling import eventually_in_loop
from tests.security.auth import ISSUER, Auth, verifier


@pytest.fixture
def auth() -> Auth:
    auth = Auth()
    auth.rotate("first")
    return auth


def test_after_a_rotation_tokens_of_both_keys_are_accepted(auth: Auth) -> None:
    old = auth.token("first")

    async def scenario() -> None:
        sessions = verifier(auth)
        await sessions.verify(old)
        auth.rotate("second")
        await sessions.verify(auth.token("second"))
        await sessions.verify(old)

    asyncio.run(scenario())


def test_a_rotation_without_a_standby_period_is_noticed_at_once_and_the_next_soon(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(jwks_module.time, "monotonic", lambda: now)  # type: ignore[attr-defined]

    async def scenario() -> None:
        nonlocal now
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))
        now += 4  # the key set is still fresh
        auth.rotate("second", keep_old=False)
        await sessions.verify(auth.token("second"))
        now += 4
        auth.rotate("third", keep_old=False)
        with pytest.raises(Unauthenticated):
            await sessions.verify(auth.token("third"))
        assert auth.fetches == 2
        now += 7
        await sessions.verify(auth.token("third"))
        assert auth.fetches == 3

    asyncio.run(scenario())


def test_requests_share_one_fetch_of_keys_and_only_those_that_need_a_new_key_wait(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0.5)
    auth.delay = 0.2

    async def scenario() -> None:
        sessions = verifier(auth)
        old = auth.token("first")
        await asyncio.gather(*(sessions.verify(old) for _ in range(4)))
        assert auth.fetches == 1
        auth.rotate("second")
        new = auth.token("second")
        await asyncio.sleep(0.5)
        auth.open.clear()
        late = [asyncio.create_task(sessions.verify(new)) for _ in range(4)]
        await eventually_in_loop(lambda: auth.fetches == 2)
        async with asyncio.timeout(5):
            await sessions.verify(old)  # its key is known
        assert not any(task.done() for task in late)
        auth.open.set()
        await asyncio.gather(*late)
        assert auth.fetches == 2

    asyncio.run(scenario())


def test_a_cancelled_request_does_not_cancel_the_fetch_of_others(auth: Auth) -> None:
    auth.delay = 0.2

    async def scenario() -> None:
        sessions = verifier(auth)
        cancelled = asyncio.create_task(sessions.verify(auth.token("first")))
        other = asyncio.create_task(sessions.verify(auth.token("first")))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        await other
        assert auth.fetches == 1

    asyncio.run(scenario())


def test_requests_that_waited_for_a_failed_fetch_do_not_fetch_again(auth: Auth) -> None:
    auth.delay = 1.1  # longer than the pause before the next first fetch
    auth.respond = lambda: ApiError("upstream_timeout")

    async def scenario() -> None:
        sessions = verifier(auth)
        results = await asyncio.gather(
            *(sessions.verify(auth.token("first")) for _ in range(4)), return_exceptions=True
        )
        assert [str(getattr(result, "code", result)) for result in results] == ["upstream_unavailable"] * 4
        assert auth.fetches == 1

    asyncio.run(scenario())


def test_a_flood_of_unknown_kids_causes_one_fetch(auth: Auth) -> None:
    async def flood() -> None:
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))

        async def attempt(n: int) -> None:
            other = Auth()
            other.rotate(f"kid {n}")
            with pytest.raises(Unauthenticated):
                await sessions.verify(other.token(f"kid {n}"))

        await asyncio.gather(*(attempt(n) for n in range(200)))

    asyncio.run(flood())

    assert auth.fetches <= 2


@pytest.mark.parametrize(
    "broken",
    [
        ApiError("upstream_unavailable"),
        ApiError("upstream_timeout"),
        ValueError("not JSON"),
        [],
        {},
        {"keys": None},
        {"keys": 5},
    ],
)
def test_while_auth_fails_the_last_valid_keys_stay_in_use(
    auth: Auth, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "FRESH_SECONDS", 0)
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0)

    async def scenario() -> None:
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))
        auth.respond = lambda: broken
        await sessions.verify(auth.token("first"))

    asyncio.run(scenario())
    assert auth.fetches > 1


def test_without_a_first_key_set_every_token_gets_upstream_unavailable(auth: Auth) -> None:
    auth.respond = lambda: ApiError("upstream_unavailable")

    with pytest.raises(ApiError) as raised:
        asyncio.run(verifier(auth).verify(auth.token("first")))

    assert raised.value.code == "upstream_unavailable"


def test_an_empty_key_set_rejects_every_token(auth: Auth) -> None:
    auth.respond = lambda: {"keys": []}

    with pytest.raises(Unauthenticated):
        asyncio.run(verifier(auth).verify(auth.token("first")))


def test_symmetric_and_malformed_keys_of_a_key_set_are_ignored(auth: Auth) -> None:
    valid = auth.document()["keys"]
    invalid: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "bad"},
        {"kty": "EC", "crv": "P-521", "kid": "curve"},
        {"kty": "RSA", "n": "!!", "e": "AQAB", "kid": "rsa"},
        {"kid": 5},
        "text",
        None,
    ]
    auth.respond = lambda: {"keys": [*invalid, *valid]}
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": int(time.time()) + 60}

    async def scenario() -> None:
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))
        forged = jwt.encode(claims, "secretsecretsecretsecretsecretse", "HS256", headers={"kid": "oct"})
        with pytest.raises(Unauthenticated):
            await sessions.verify(forged)

    asyncio.run(scenario())


def test_token_headers_that_name_other_keys_are_ignored(auth: Auth) -> None:
    attacker = Auth()
    attacker.rotate("first")
    own = json.loads(ECAlgorithm.to_jwk(attacker.keys["first"].public_key()))

    async def scenario() -> None:
        sessions = verifier(auth)
        for header in (
            {"jwk": own},
            {"jku": "https://evil.example/jwks.json"},
            {"x5u": "https://evil.example/cert.pem"},
            {"x5c": ["AAAA"]},
            {"kid": "../../../dev/null"},
            {"kid": "first' or '1'='1"},
            {"crit": ["exp"]},
        ):
            with pytest.raises(Unauthenticated):
                await sessions.verify(attacker.token("first", **header))

    asyncio.run(scenario())


def test_an_rsa_key_verifies_only_rs256(auth: Auth) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": "rsa"}
    auth.respond = lambda: {"keys": [public]}
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": int(time.time()) + 60}

    async def scenario() -> None:
        sessions = verifier(auth)
        await sessions.verify(jwt.encode(claims, key, "RS256", headers={"kid": "rsa"}))
        for algorithm in ("RS384", "RS512", "PS256"):
            with pytest.raises(Unauthenticated):
                await sessions.verify(jwt.encode(claims, key, algorithm, headers={"kid": "rsa"}))

    asyncio.run(scenario())


@pytest.mark.parametrize("token", ["a" * 9000, "a.b.c" * 3000, "....", "e30.e30.e30", "\x00.\x00.\x00"])
def test_oversized_and_malformed_tokens_are_rejected_without_a_fetch(auth: Auth, token: str) -> None:
    with pytest.raises(Unauthenticated):
        asyncio.run(verifier(auth).verify(token))
    assert auth.fetches == 0


@pytest.mark.parametrize(
    ("claims", "valid"),
    [
        ({"exp": 5}, False),
        ({"exp": "soon"}, False),
        ({"iat": 10**12}, False),
        ({"nbf": 10**12}, False),
        ({"aud": ["authenticated", "other"]}, True),
        ({"aud": []}, False),
        ({"aud": {"authenticated": 1}}, False),
        ({"sub": 5}, False),
        ({"role": ["authenticated"]}, False),
        ({"role": "AUTHENTICATED"}, False),
        ({"iss": [ISSUER]}, False),
        ({"api_key_id": ""}, False),
    ],
)
def test_claims_of_wrong_types_or_values_are_rejected(auth: Auth, claims: dict[str, Any], valid: bool) -> None:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": now + 60}
    body = json.dumps({**usual, **claims}).encode()
    token = jwt.api_jws.PyJWS().encode(body, auth.keys["first"], "ES256", {"kid": "first"})

    async def scenario() -> None:
        await verifier(auth).verify(token)

    if valid:
        asyncio.run(scenario())
    else:
        with pytest.raises(Unauthenticated):
            asyncio.run(scenario())


@pytest.mark.parametrize(
    ("repeated", "valid"),
    [
        ('"role": "service_role"', False),
        ('"exp": 5', False),
        ('"sub": null', False),
        ('"sub": "y"', True),
        ('"api_key_id": "k", "role": "authenticated"', False),
    ],
)
def test_of_a_repeated_claim_the_last_value_is_checked_and_used(auth: Auth, repeated: str, valid: bool) -> None:
    """Only Auth and the service sign tokens, and neither repeats a claim."""
    usual = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": int(time.time()) + 60}
    body = f"{json.dumps(usual)[:-1]}, {repeated}}}".encode()
    token = jwt.api_jws.PyJWS().encode(body, auth.keys["first"], "ES256", {"kid": "first"})

    if valid:
        assert asyncio.run(verifier(auth).verify(token)) == "y"
    else:
        with pytest.raises(Unauthenticated):
            asyncio.run(verifier(auth).verify(token))


@pytest.mark.parametrize(
    ("claim", "skew", "valid"),
    [("exp", -110, True), ("exp", -130, False), ("iat", 110, True), ("iat", 130, False), ("nbf", 110, True)],
)
def test_two_minutes_between_the_clocks_of_auth_and_the_service_are_tolerated(
    auth: Auth, claim: str, skew: int, valid: bool
) -> None:
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": "x",
        "role": "authenticated",
        "exp": now + 3600,
        claim: now + skew,
    }
    token = jwt.encode(claims, auth.keys["first"], "ES256", headers={"kid": "first"})

    if valid:
        asyncio.run(verifier(auth).verify(token))
    else:
        with pytest.raises(Unauthenticated):
            asyncio.run(verifier(auth).verify(token))
