"""Parsers of untrusted input raise only the documented exceptions, for any input."""

import asyncio
import base64
import json
import string

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.identity import api_key
from assetdock_server.identity.jwks import Jwks
from assetdock_server.identity.principal import JWT, bearer
from assetdock_server.identity.session import SessionVerifier
from assetdock_server.routes.parsing import Input, Instant, Int64, Text, validate
from devstack.stack import Stack
from devstack.storage.tus.protocol import TusError, parse_metadata
from tests.callers import Caller

TEXT = st.text() | st.text(alphabet=string.printable) | st.from_regex(JWT, fullmatch=True)


def tus_metadata(pairs: list[tuple[str, bytes]]) -> str:
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in pairs)


async def no_keys() -> dict[str, object]:
    return {"keys": []}


@given(st.lists(TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=3))
@example([b"Bearer "])
@example([b"bearer\x00x"])
def test_bearer_returns_a_token_or_raises_unauthenticated(values: list[bytes]) -> None:
    headers = Headers(raw=[(b"authorization", value) for value in values])
    try:
        token = bearer(headers)
    except Unauthenticated:
        return
    assert token
    assert not token.startswith(" ")
    assert len(values) == 1


@given(TEXT)
@example("rk_live_" + "a" * 46)
@example("rk_live_" + "\u0661" * 46)  # digits, but not ASCII
def test_a_well_formed_key_is_ascii_and_has_the_right_checksum(text: str) -> None:
    if api_key.is_well_formed(text):
        assert text.isascii()
        assert text[:-6] + api_key.checksum(text[:-6]) == text


@given(st.integers(0, 53), st.sampled_from(api_key.ALPHABET))
def test_the_checksum_detects_one_wrong_character(position: int, other: str) -> None:
    key = api_key.make().plaintext
    changed = key[:position] + other + key[position + 1 :]

    assert api_key.is_well_formed(changed) == (changed == key)


@given(TEXT)
@settings(deadline=None)
def test_the_verifier_rejects_every_text_while_it_has_no_keys(text: str) -> None:
    sessions = SessionVerifier(issuer="https://x.example/auth/v1", jwks=Jwks(no_keys), secret=b"x" * 32)
    try:
        asyncio.run(sessions.verify(text))
    except Unauthenticated:
        return
    raise AssertionError("accepted")


class Everything(Input):
    """Every kind of request field."""

    text: Text | None = None
    number: Int64 | None = None
    instant: Instant | None = None
    metadata: dict[Text, Text] | None = None
    scopes: list[Text] | None = None
    flag: bool | None = None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(list(Everything.model_fields)) | st.text(), JSON))
@example({"metadata": {"\ud800": 5}})
@example({"text": "\ud800"})
@example({"instant": "2030-01-01T00:00:00+99:99"})
def test_any_json_is_a_valid_body_or_a_validation_error_that_utf8_can_encode(values: dict[str, object]) -> None:
    raised = None
    try:
        validate(Everything, values, "body")
    except ApiError as error:
        raised = error
    if raised is not None:
        assert raised.code == "validation_error"
        assert raised.fields
        for field in raised.fields:
            assert f"{field.field}{field.message}".encode()


@pytest.mark.parametrize("argument", ["cursor", "idempotency_key", "filename", "content_type", "state", "name"])
def test_sql_functions_accept_any_text_or_raise_a_documented_code(owner: Caller, stack: Stack, argument: str) -> None:
    function = {"cursor": "list_assets", "state": "list_assets", "name": "create_api_key"}.get(
        argument, "create_upload"
    )
    first = "'audio', " if function == "create_upload" else ""
    secret = ", prefix => 'rk_live_AAAAAAAA', secret_sha256 => 'x'" if argument == "name" else ""

    with psycopg.connect(stack.db_url) as connection:
        session = connection.execute("select id from auth.sessions where user_id = %s", [owner.owner_id]).fetchone()
        assert session is not None

        @given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
        @settings(deadline=None, max_examples=150)
        @example("A" * 32)
        @example("-_" * 16)
        @example("=" * 32)
        def call(text: str) -> None:
            claims = json.dumps({"role": "authenticated", "sub": owner.owner_id, "session_id": str(session[0])})
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            raised, code = None, None
            try:
                connection.execute(f"select assetdock.{function}({first}{argument} => %s{secret})", [text])
            except psycopg.Error as error:
                raised = error
            finally:
                connection.rollback()
            if raised is not None:
                assert raised.sqlstate == "PGRST", (text, raised)
                code = json.loads(str(raised.diag.message_primary))["code"]
            assert code in (None, "bad_request", "validation_error"), (text, code)

        call()


@given(st.none() | TEXT | st.lists(st.tuples(st.text(), st.binary())).map(tus_metadata))
@example("key ====")
@example("key Zm9v,key Zm9v")
def test_any_upload_metadata_is_parsed_or_rejected_with_400(header: str | None) -> None:
    raised = None
    try:
        metadata = parse_metadata(header)
    except TusError as error:
        raised = error
    if raised is not None:
        assert raised.status == 400
    else:
        assert all(key and key.isascii() for key in metadata)
