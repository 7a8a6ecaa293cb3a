"""A browser app without our service: the guide's own code, with the real supabase-js."""

import base64
import json
import re
import subprocess
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.callers import Json, Project
from tests.polling import DEADLINE
from tests.processes import PROJECT, WorkerProcess

GUIDE = PROJECT / "docs/guides/supabase-js.md"
DRIVER = Path(__file__).with_name("supabase_js.mjs")


def new_user(project: Project) -> dict[str, str]:
    user = {"email": f"{uuid.uuid4().hex}@example.com", "password": uuid.uuid4().hex}
    created = httpx.post(
        f"{project.supabase_url}/auth/v1/admin/users",
        headers={"apikey": project.secret_key},
        json={**user, "email_confirm": True},
    )
    assert created.status_code == 200, created.text
    return user


@pytest.fixture(scope="module")
def output(project: Project, worker: WorkerProcess, wav: bytes) -> Json:
    """The driver's output."""
    code = "\n".join(re.findall(r"^```js\n(.*?)^```", GUIDE.read_text(), re.M | re.S))
    given: dict[str, Any] = {
        "url": project.supabase_url,
        "key": project.publishable_key,
        **new_user(project),
        "stranger": new_user(project),
        "wav": base64.b64encode(wav).decode(),
    }
    # Without warnings: Node 20 has no WebSocket, which only Realtime needs.
    done = subprocess.run(
        ["node", "--input-type=module", "-", json.dumps(given)],
        input=f"{code}\n{DRIVER.read_text()}",
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    document: Json = json.loads(done.stdout)
    return document


def test_a_file_sent_with_the_guides_code_becomes_ready(output: Json) -> None:
    assert output["confirmed"] in ("processing", "ready")
    assert output["ready"]["state"] == "ready"
    assert output["ready"]["duration_seconds"] == "1.500"
    assert (output["ready"]["filename"], output["ready"]["content_type"]) == ("tone.wav", "audio/wav")
    assert output["same"]


def test_lists_contain_only_the_callers_assets(output: Json) -> None:
    assert [asset["id"] for asset in output["listed"]["items"]] == [output["ready"]["id"]]
    assert output["strangers"]["items"] == []
    assert output["strangers_asset"]["code"] == "not_found"


def test_deleting_and_restoring_work(output: Json) -> None:
    assert output["afterwards"]["items"] == []
    assert output["restored"] == "ready"


def test_database_errors_have_our_codes_and_messages(output: Json) -> None:
    assert output["nothing_yet"] is None
    assert output["not_media"]["code"] == "validation_error"
    assert "reserved as audio/mpeg, but the upload says audio/wav" in output["other_type"]
    assert output["no_reservation"] is True
