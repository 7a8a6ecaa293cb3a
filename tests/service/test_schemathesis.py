"""Runs schemathesis against the service, with real credentials and generated inputs.

Every response must have a documented status, media type, headers, schema and error code, and none may be 5xx. The
service must reject requests that violate the schema, accept those that match it, and require credentials where the
document does. schemathesis.toml holds the rules that a request schema cannot express.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.ports import Ports
from tests.callers import Caller, Project, session_caller
from tests.processes import Service

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
# Not api_keys:write: the key would revoke itself.
KEY_SCOPES = ["assets:read", "assets:write", "api_keys:read", "webhooks:read", "webhooks:write"]


@pytest.fixture(scope="module")
def unlimited(project: Project, service_environment: dict[str, str]) -> Iterator[Project]:
    """A separate service without a rate limit."""
    running = Service({**service_environment, "ASSETDOCK_RATE_LIMIT": "off"}, Ports.free().gateway)
    yield Project(project.supabase_url, project.publishable_key, project.secret_key, running.url)
    running.stop()


def caller(project: Project, kind: str) -> Caller:
    owner = session_caller(project)
    return owner if kind == "session" else owner.key_holder(scopes=KEY_SCOPES)


@pytest.mark.parametrize("kind", ["session", "key"])
def test_every_response_conforms_to_the_document(unlimited: Project, kind: str, tmp_path: Path) -> None:
    credential = caller(unlimited, kind).credential
    finished = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION),
            "run", f"{unlimited.api_url}/openapi.json",
            "--header", f"Authorization: Bearer {credential}",
            "--checks", "all", "--exclude-checks", "use_after_free",  # a deleted asset can be read, and restored
            "--generation-deterministic", "--max-examples", "10", "--request-timeout", "20",
            "--continue-on-failure", "--no-color", "--warnings", "off",
        ],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )  # fmt: skip

    assert finished.returncode == 0, finished.stdout.replace(credential, "…") + finished.stderr
