"""Parsers of what strangers send: no exception but the documented ones, whatever comes."""

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
from assetdock_server.routes.parsing import Input, Instant, Int64, Text, checked
from devstack.stack import Stack
from devstack.storage.tus.protocol import TusError, parse_metadata
from tests.callers import Caller

TEXT = st.text() | st.text(alphabet=string.printable) | st.from_regex(JWT, fullmatch=True)


def written_as_tus_writes_it(pairs: list[tuple[str, bytes]]) -> str:
    return ",".join(f"{key} {base64.b64encode(value).decode()}" for key, value in pairs)


async def no_keys() -> dict[str, object]:
    return {"keys": []}


@given(st.lists(TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")), max_size=3))
@example([b"Bearer "])
@example([b"bearer\x00x"])
def test_bearer_gives_a_token_or_says_unauthenticated(values: list[bytes]) -> None:
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
@example("rk_live_" + "\u0661" * 46)  # digits, but not ours
def test_a_text_is_a_key_only_if_making_it_again_gives_the_same(text: str) -> None:
    if api_key.is_well_formed(text):
        assert text.isascii()
        assert text[:-6] + api_key.checksum(text[:-6]) == text


@given(st.integers(0, 53), st.sampled_from(api_key.ALPHABET))
def test_one_wrong_character_never_passes_the_checksum(place: int, other: str) -> None:
    key = api_key.make().plaintext
    changed = key[:place] + other + key[place + 1 :]

    assert api_key.is_well_formed(changed) == (changed == key)


@given(TEXT)
@settings(deadline=None)
def test_no_text_is_a_session_without_a_key_and_none_breaks_the_verifier(text: str) -> None:
    sessions = SessionVerifier(issuer="https://x.example/auth/v1", jwks=Jwks(no_keys), secret=b"x" * 32)
    try:
        asyncio.run(sessions.verify(text))
    except Unauthenticated:
        return
    raise AssertionError("let in")


class Everything(Input):
    """Every kind of field there is."""

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
def test_any_json_is_a_body_or_a_validation_error_that_can_be_written_down(values: dict[str, object]) -> None:
    refusal = None
    try:
        checked(Everything, values, "body")
    except ApiError as error:
        refusal = error
    if refusal is not None:
        assert refusal.code == "validation_error"
        assert refusal.fields
        for field in refusal.fields:
            assert f"{field.field}{field.message}".encode()


@pytest.mark.parametrize("argument", ["cursor", "idempotency_key", "filename", "content_type", "state", "name"])
def test_any_text_in_a_function_is_taken_or_refused_by_a_documented_code(
    owner: Caller, stack: Stack, argument: str
) -> None:
    function = {"cursor": "list_assets", "state": "list_assets", "name": "create_api_key"}.get(
        argument, "create_upload"
    )
    first = "'audio', " if function == "create_upload" else ""
    secret = ", prefix => 'rk_live_AAAAAAAA', secret_sha256 => 'x'" if argument == "name" else ""

    with psycopg.connect(stack.db_url) as connection:

        @given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
        @settings(deadline=None, max_examples=150)
        @example("A" * 32)
        @example("-_" * 16)
        @example("=" * 32)
        def call(text: str) -> None:
            claims = f'{{"role": "authenticated", "sub": "{owner.owner_id}"}}'
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            refusal, code = None, None
            try:
                connection.execute(f"select assetdock.{function}({first}{argument} => %s{secret})", [text])
            except psycopg.Error as error:
                refusal = error
            finally:
                connection.rollback()
            if refusal is not None:
                assert refusal.sqlstate == "PGRST", (text, refusal)
                code = json.loads(str(refusal.diag.message_primary))["code"]
            assert code in (None, "bad_request", "validation_error"), (text, code)

        call()


@given(st.none() | TEXT | st.lists(st.tuples(st.text(), st.binary())).map(written_as_tus_writes_it))
@example("key ====")
@example("key Zm9v,key Zm9v")
def test_any_upload_metadata_is_read_or_refused_with_400(header: str | None) -> None:
    refusal = None
    try:
        metadata = parse_metadata(header)
    except TusError as error:
        refusal = error
    if refusal is not None:
        assert refusal.status == 400
    else:
        assert all(key and key.isascii() for key in metadata)
