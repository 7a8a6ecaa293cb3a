"""The key set: slow, broken, empty, rotated, flooded."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.identity import jwks as jwks_module
from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.session import SessionVerifier
from tests.polling import comes_about

ISSUER = "https://project.example/auth/v1"
Document = dict[str, Any]


class Auth:
    """Publishes keys, counts how often it is asked, fails on demand."""

    def __init__(self) -> None:
        self.keys: dict[str, ec.EllipticCurvePrivateKey] = {}
        self.asked = 0
        self.seconds = 0.0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.answer: Callable[[], Any] = self.document

    def rotate(self, kid: str, *, keep_old: bool = True) -> None:
        self.keys = {**(self.keys if keep_old else {}), kid: ec.generate_private_key(ec.SECP256R1())}

    def document(self) -> Document:
        return {
            "keys": [
                {**json.loads(ECAlgorithm.to_jwk(key.public_key())), "kid": kid, "alg": "ES256"}
                for kid, key in self.keys.items()
            ]
        }

    async def fetch(self) -> Document:
        self.asked += 1
        await asyncio.sleep(self.seconds)
        await self.may_answer.wait()
        answer = self.answer()
        if isinstance(answer, Exception):
            raise answer
        document: Document = answer
        return document

    def token(self, kid: str, /, **header: Any) -> str:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": now + 60}
        return jwt.encode(claims, self.keys[kid], "ES256", headers={"kid": kid, **header})


@pytest.fixture
def auth() -> Auth:
    auth = Auth()
    auth.rotate("first")
    return auth


def verifier(auth: Auth) -> SessionVerifier:
    return SessionVerifier(issuer=ISSUER, jwks=Jwks(auth.fetch), secret=None)


def test_a_rotated_key_is_found_and_the_old_one_stays_good_for_its_tokens(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0)
    old = auth.token("first")

    async def walk() -> None:
        sessions = verifier(auth)
        await sessions.verify(old)
        auth.rotate("second")
        await sessions.verify(auth.token("second"))
        await sessions.verify(old)

    asyncio.run(walk())


def test_who_arrives_while_the_keys_are_being_fetched_waits_for_them(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0.5)
    auth.seconds = 0.2

    async def walk() -> None:
        sessions = verifier(auth)
        old = auth.token("first")
        await asyncio.gather(*(sessions.verify(old) for _ in range(4)))
        assert auth.asked == 1
        auth.rotate("second")
        new = auth.token("second")
        await asyncio.sleep(0.5)
        auth.may_answer.clear()
        late = [asyncio.create_task(sessions.verify(new)) for _ in range(4)]
        await comes_about(lambda: auth.asked == 2)
        async with asyncio.timeout(5):
            await sessions.verify(old)  # who has a key need not wait
        assert not any(task.done() for task in late)
        auth.may_answer.set()
        await asyncio.gather(*late)
        assert auth.asked == 2

    asyncio.run(walk())


def test_a_caller_who_gives_up_takes_the_keys_from_nobody(auth: Auth) -> None:
    auth.seconds = 0.2

    async def walk() -> None:
        sessions = verifier(auth)
        impatient = asyncio.create_task(sessions.verify(auth.token("first")))
        patient = asyncio.create_task(sessions.verify(auth.token("first")))
        await asyncio.sleep(0.05)
        impatient.cancel()
        await patient
        assert auth.asked == 1

    asyncio.run(walk())


def test_who_waited_for_a_fetch_that_failed_does_not_fetch_again(auth: Auth) -> None:
    auth.seconds = 1.1  # longer than the pause before a first fetch is tried again
    auth.answer = lambda: httpx.ReadTimeout("slow")

    async def walk() -> None:
        sessions = verifier(auth)
        answers = await asyncio.gather(
            *(sessions.verify(auth.token("first")) for _ in range(4)), return_exceptions=True
        )
        assert [str(getattr(answer, "code", answer)) for answer in answers] == ["upstream_unavailable"] * 4
        assert auth.asked == 1

    asyncio.run(walk())


def test_a_flood_of_unknown_kids_costs_one_fetch_a_minute(auth: Auth) -> None:
    async def flood() -> None:
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))
        stray = Auth()
        for n in range(200):
            stray.rotate(f"stray {n}", keep_old=False)

        async def attempt(n: int) -> None:
            auth_of_none = Auth()
            auth_of_none.rotate(f"kid {n}")
            with pytest.raises(Unauthenticated):
                await sessions.verify(auth_of_none.token(f"kid {n}"))

        await asyncio.gather(*(attempt(n) for n in range(200)))

    asyncio.run(flood())

    assert auth.asked <= 2


@pytest.mark.parametrize(
    "broken",
    [
        httpx.ConnectError("away"),
        httpx.ReadTimeout("slow"),
        ApiError("upstream_timeout"),
        ValueError("not JSON"),
        [],
        {},
        {"keys": None},
        {"keys": 5},
    ],
)
def test_with_auth_broken_the_last_good_keys_stay_in_force(
    auth: Auth, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks_module, "FRESH_SECONDS", 0)
    monkeypatch.setattr(jwks_module, "REFETCH_SECONDS", 0)

    async def walk() -> None:
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))
        auth.answer = lambda: broken
        await sessions.verify(auth.token("first"))

    asyncio.run(walk())
    assert auth.asked > 1


def test_before_any_key_set_was_had_nobody_is_let_in_and_it_is_our_fault(auth: Auth) -> None:
    auth.answer = lambda: httpx.ConnectError("away")

    with pytest.raises(ApiError) as refusal:
        asyncio.run(verifier(auth).verify(auth.token("first")))

    assert refusal.value.code == "upstream_unavailable"


def test_an_empty_key_set_lets_nobody_in(auth: Auth) -> None:
    auth.answer = lambda: {"keys": []}

    with pytest.raises(Unauthenticated):
        asyncio.run(verifier(auth).verify(auth.token("first")))


def test_symmetric_and_malformed_keys_of_a_key_set_are_passed_over(auth: Auth) -> None:
    good = auth.document()["keys"]
    odd: list[Any] = [
        {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "oct", "alg": "HS256"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "bad"},
        {"kty": "EC", "crv": "P-521", "kid": "curve"},
        {"kty": "RSA", "n": "!!", "e": "AQAB", "kid": "rsa"},
        {"kid": 5},
        "text",
        None,
    ]
    auth.answer = lambda: {"keys": [*odd, *good]}
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": int(time.time()) + 60}

    async def walk() -> None:
        sessions = verifier(auth)
        await sessions.verify(auth.token("first"))
        forged = jwt.encode(claims, "secretsecretsecretsecretsecretse", "HS256", headers={"kid": "oct"})
        with pytest.raises(Unauthenticated):
            await sessions.verify(forged)

    asyncio.run(walk())


def test_headers_that_point_at_other_keys_are_ignored(auth: Auth) -> None:
    attacker = Auth()
    attacker.rotate("first")
    own = json.loads(ECAlgorithm.to_jwk(attacker.keys["first"].public_key()))

    async def walk() -> None:
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

    asyncio.run(walk())


def test_an_rsa_key_verifies_rs256_and_nothing_else(auth: Auth) -> None:
    key = rsa.generate_private_key(65537, 2048)
    public = {**json.loads(RSAAlgorithm.to_jwk(key.public_key())), "kid": "rsa"}
    auth.answer = lambda: {"keys": [public]}
    claims = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": int(time.time()) + 60}

    async def walk() -> None:
        sessions = verifier(auth)
        await sessions.verify(jwt.encode(claims, key, "RS256", headers={"kid": "rsa"}))
        for algorithm in ("RS384", "RS512", "PS256"):
            with pytest.raises(Unauthenticated):
                await sessions.verify(jwt.encode(claims, key, algorithm, headers={"kid": "rsa"}))

    asyncio.run(walk())


@pytest.mark.parametrize("token", ["a" * 9000, "a.b.c" * 3000, "....", "e30.e30.e30", "\x00.\x00.\x00"])
def test_oversize_and_odd_tokens_are_refused_cheaply(auth: Auth, token: str) -> None:
    with pytest.raises(Unauthenticated):
        asyncio.run(verifier(auth).verify(token))
    assert auth.asked == 0


@pytest.mark.parametrize(
    ("claims", "good"),
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
def test_odd_claims_are_judged_strictly(auth: Auth, claims: dict[str, Any], good: bool) -> None:
    now = int(time.time())
    usual = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": now + 60}
    body = json.dumps({**usual, **claims}).encode()
    token = jwt.api_jws.PyJWS().encode(body, auth.keys["first"], "ES256", {"kid": "first"})

    async def walk() -> None:
        await verifier(auth).verify(token)

    if good:
        asyncio.run(walk())
    else:
        with pytest.raises(Unauthenticated):
            asyncio.run(walk())


@pytest.mark.parametrize(
    ("again", "good"),
    [
        ('"role": "service_role"', False),
        ('"exp": 5', False),
        ('"sub": null', False),
        ('"sub": "y"', True),
        ('"api_key_id": "k", "role": "authenticated"', False),
    ],
)
def test_a_claim_that_is_there_twice_is_judged_by_what_is_taken_for_it(auth: Auth, again: str, good: bool) -> None:
    """Only Auth and the service sign, and neither repeats a claim; if one did, the last is judged and used."""
    usual = {"iss": ISSUER, "aud": "authenticated", "sub": "x", "role": "authenticated", "exp": int(time.time()) + 60}
    body = f"{json.dumps(usual)[:-1]}, {again}}}".encode()
    token = jwt.api_jws.PyJWS().encode(body, auth.keys["first"], "ES256", {"kid": "first"})

    if good:
        assert asyncio.run(verifier(auth).verify(token)) == "y"
    else:
        with pytest.raises(Unauthenticated):
            asyncio.run(verifier(auth).verify(token))


@pytest.mark.parametrize(("skew", "good"), [(-5, True), (-15, False)])
def test_ten_seconds_of_clock_skew_are_forgiven(auth: Auth, skew: int, good: bool) -> None:
    claims = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": "x",
        "role": "authenticated",
        "exp": int(time.time()) + skew,
    }
    token = jwt.encode(claims, auth.keys["first"], "ES256", headers={"kid": "first"})

    if good:
        asyncio.run(verifier(auth).verify(token))
    else:
        with pytest.raises(Unauthenticated):
            asyncio.run(verifier(auth).verify(token))
