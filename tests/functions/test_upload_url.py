"""The Edge Function beside the service: what only it has, and what both must say alike."""

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
from devstack.binaries import PROJECT, find_deno
from devstack.ports import Ports
from devstack.stack import Stack
from devstack.state_directory import temporary_state_directory
from tests.callers import Caller, Project, refused, sign_up
from tests.contract.target import Target
from tests.contract.tus import Tus

FUNCTIONS = PROJECT / "supabase/functions"


def test_its_own_tests_pass() -> None:
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
    ran = subprocess.run(
        [deno, "test", *options, *config, str(FUNCTIONS / "tests")],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 failed" in ran.stdout


def test_what_is_deployed_is_what_was_tested() -> None:
    installed = json.loads((PROJECT / "package.json").read_text())["devDependencies"]["@supabase/supabase-js"]
    imports = json.loads((FUNCTIONS / "upload-url/deno.json").read_text())["imports"]

    assert imports == {"@supabase/supabase-js": f"npm:@supabase/supabase-js@{installed}"}


def test_its_errors_are_those_of_the_catalogue() -> None:
    source = (FUNCTIONS / "upload-url/errors.ts").read_text()
    entries = re.findall(r"""^  (\w+): \[(\d+), (["'])(.*)\3\],$""", source, re.MULTILINE)

    assert len(entries) > 5
    for code, status, _, message in entries:
        assert (int(status), message) == (CATALOGUE[code].status, CATALOGUE[code].message), code


@pytest.fixture
def browser(owner: Caller, project: Project) -> Caller:
    """The owner, in an app that has no server."""
    owner.upload_url = f"{project.supabase_url}/functions/v1/upload-url"
    return owner


def test_bytes_go_where_it_says_whole_or_in_parts(browser: Caller, wav: bytes) -> None:
    whole, parts = browser.reserve(), browser.reserve()

    assert browser.upload(whole, wav).status_code == 200
    resumable = parts["upload"]["resumable"]
    tus = Tus(Target(browser.project.supabase_url, "", "", "", None), "/sign", resumable["headers"])
    metadata = resumable["metadata"]
    created = tus.create(
        metadata["bucketName"], metadata["objectName"], len(wav), content=wav, metadata={"contentType": "audio/wav"}
    )
    assert (tus.url, created.status_code) == (resumable["url"], 201)
    for reservation in (whole, parts):
        assert browser.asset(reservation["asset"]["id"])["size_bytes"] == len(wav)


def test_a_banned_owner_is_refused(browser: Caller, database: psycopg.Connection[Any]) -> None:
    database.execute("update auth.users set banned_until = now() + interval '1 hour' where id = %s", [browser.owner_id])

    refused(browser.http.post(browser.upload_url, json={"type": "audio"}), 401, "unauthenticated")


def test_a_legacy_projects_session_is_verified_by_auth() -> None:
    with (
        temporary_state_directory() as directory,
        Stack(directory, Ports.free(), jwt_secret="a-secret-of-at-least-thirty-two-characters") as legacy,
    ):
        user = sign_up(Project(legacy.supabase_url, legacy.publishable_key, legacy.secret_key, api_url=""))
        forged = jwt.encode(jwt.decode(user.access_token, options={"verify_signature": False}), "x" * 32)
        answers = [
            httpx.post(
                f"{legacy.supabase_url}/functions/v1/upload-url",
                headers={"Authorization": f"Bearer {token}"},
                json={"type": "audio"},
            )
            for token in (user.access_token, forged)
        ]

    assert jwt.get_unverified_header(user.access_token)["alg"] == "HS256"
    assert answers[0].status_code == 201
    refused(answers[1], 401, "unauthenticated")


def test_a_function_that_is_not_there_is_not_found(project: Project, browser: Caller) -> None:
    answer = browser.http.post(f"{project.supabase_url}/functions/v1/unknown")

    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
