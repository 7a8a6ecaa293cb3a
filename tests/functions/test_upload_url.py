"""The Edge Function: its own behaviour, and its lists, which must agree with the service and the database."""

import json
import os
import re
import subprocess
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from assetdock_server.errors import CATALOGUE
from assetdock_server.identity.session import MAX_TOKEN
from assetdock_server.routes.parsing import MAX_BODY
from assetdock_server.routes.uploads import CHUNK_SIZE
from devstack.binaries import PROJECT, find_deno
from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.callers import Caller, Project, assert_rejected, sign_up
from tests.contract.target import Target
from tests.contract.tus import Tus

FUNCTIONS = PROJECT / "supabase/functions"


def test_unit_tests_of_the_function_pass() -> None:
    deno = find_deno()
    assert deno is not None
    options = ["--no-remote", "--cached-only", "--no-lock", "--node-modules-dir=manual", "--no-prompt"]
    config = ["--config", str(FUNCTIONS / "upload-url/deno.json")]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "DENO_DIR": str(PROJECT / "node_modules/.cache/deno"),
        "DENO_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    result = subprocess.run(
        [deno, "test", *options, *config, str(FUNCTIONS / "tests")],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 failed" in result.stdout


def test_deployed_supabase_js_is_the_tested_version() -> None:
    installed = json.loads((PROJECT / "package.json").read_text())["devDependencies"]["@supabase/supabase-js"]
    imports = json.loads((FUNCTIONS / "upload-url/deno.json").read_text())["imports"]

    assert imports == {"@supabase/supabase-js": f"npm:@supabase/supabase-js@{installed}"}


def test_errors_are_those_of_the_services_catalogue() -> None:
    source = (FUNCTIONS / "upload-url/errors.ts").read_text()
    entries = re.findall(r"""^  (\w+): \[(\d+), (["'])(.*)\3\],$""", source, re.MULTILINE)

    assert len(entries) > 5
    for code, status, _, message in entries:
        assert (int(status), message) == (CATALOGUE[code].status, CATALOGUE[code].message), code


def test_limits_are_those_of_the_service() -> None:
    handler, parsing = ((FUNCTIONS / f"upload-url/{name}.ts").read_text() for name in ("handler", "parsing"))

    assert f"CHUNK_SIZE = {CHUNK_SIZE // 1024**2} * 1024 * 1024;" in handler
    assert f"MAX_BODY_BYTES = {MAX_BODY:_};" in parsing
    assert f"MAX_TOKEN_LENGTH = {MAX_TOKEN};" in parsing


def test_fields_are_the_arguments_of_create_upload(database: psycopg.Connection[Any]) -> None:
    checks = {"text": "text", "bigint": "integer(64)", "integer": "integer(32)", "uuid": "uuid"}
    (signature,) = database.execute(
        "select pg_get_function_arguments(oid) from pg_proc where oid = 'assetdock.create_upload'::regproc"
    ).fetchone() or [""]
    arguments = [re.fullmatch(r"(\w+) (\w+)( DEFAULT .*)?", each) for each in signature.split(", ")]
    expected = {
        match[1]: f"optional({checks[match[2]]})" if match[3] else checks[match[2]]
        for match in arguments
        if match and match[1] not in ("metadata", "idempotency_key")
    }

    source = (FUNCTIONS / "upload-url/parsing.ts").read_text()
    fields = source.partition("const CHECKS: Record<string, Check> = {\n")[2].partition("\n};")[0]
    assert dict(re.findall(r"^  (\w+): (.*),$", fields, re.MULTILINE)) == expected
    assert len(arguments) == len(expected) + 2


@pytest.fixture
def browser(owner: Caller, project: Project) -> Caller:
    """The owner, who calls the Edge Function."""
    owner.upload_url = f"{project.supabase_url}/functions/v1/upload-url"
    return owner


def test_upload_target_accepts_a_put_and_a_resumable_upload(browser: Caller, wav: bytes) -> None:
    put, resumable = browser.reserve(), browser.reserve()

    assert browser.upload(put, wav).status_code == 200
    target = resumable["upload"]["resumable"]
    tus = Tus(Target(browser.project.supabase_url, "", "", "", None), "/sign", target["headers"])
    metadata = target["metadata"]
    created = tus.create(
        metadata["bucketName"], metadata["objectName"], len(wav), content=wav, metadata={"contentType": "audio/wav"}
    )
    assert (tus.url, created.status_code) == (target["url"], 201)
    for reservation in (put, resumable):
        assert browser.asset(reservation["asset"]["id"])["size_bytes"] == len(wav)


def test_rejects_a_banned_owner(browser: Caller, database: psycopg.Connection[Any]) -> None:
    database.execute("update auth.users set banned_until = now() + interval '1 hour' where id = %s", [browser.owner_id])

    assert_rejected(browser.http.post(browser.upload_url, json={"type": "audio"}), 401, "unauthenticated")


@pytest.mark.local_stack
def test_verifies_sessions_of_a_legacy_project() -> None:
    with (
        temporary_state_directory() as directory,
        Stack(directory, Ports.free(), jwt_secret="a-secret-of-at-least-thirty-two-characters") as legacy,
    ):
        user = sign_up(Project(legacy.supabase_url, legacy.publishable_key, legacy.secret_key, api_url=""))
        forged = jwt.encode(jwt.decode(user.access_token, options={"verify_signature": False}), "x" * 32)
        accepted, rejected = (
            httpx.post(
                f"{legacy.supabase_url}/functions/v1/upload-url",
                headers={"Authorization": f"Bearer {token}"},
                json={"type": "audio"},
            )
            for token in (user.access_token, forged)
        )

    assert jwt.get_unverified_header(user.access_token)["alg"] == "HS256"
    assert accepted.status_code == 201
    assert_rejected(rejected, 401, "unauthenticated")


def test_unknown_function_is_404(project: Project, browser: Caller) -> None:
    response = browser.http.post(f"{project.supabase_url}/functions/v1/unknown")

    assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
