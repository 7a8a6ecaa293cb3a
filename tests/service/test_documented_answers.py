"""The examples are real: every curl command on a page is run, and answers in the shape that the page shows."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from assetdock_server.documents.build import READING_ORDER
from assetdock_server.documents.markdown import slug
from assetdock_server.routes.entry import JSON
from assetdock_server.routes.shapes import ErrorResponse
from assetdock_server.routes.table import TABLE
from tests.callers import Caller
from tests.media import SAMPLES, make
from tests.service.openapi import described

SH = re.compile(r"```sh\n(.*?)```", re.DOTALL)
SHOWN = re.compile(r"```json\n(.*?)```", re.DOTALL)
# curl as a reader would call it, but telling the status and the type, too.
CURL = """curl() { command curl --silent --show-error --write-out '\\n%{http_code} %{content_type}' "$@"; }\n"""


def shell(script: str, caller: Caller, cwd: Path, **variables: str) -> str:
    """What a script prints in a shell as the guides ask for it."""
    environment = {"PATH": os.environ["PATH"], "API_URL": caller.project.api_url, "ASSETDOCK_TOKEN": caller.credential}
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**environment, **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def page(caller: Caller, name: str) -> str:
    return httpx.get(f"{caller.project.api_url}/docs/{name}.md").text


def shape(value: Any) -> Any:
    """A JSON value with its scalars replaced by their types."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


@pytest.fixture
def variables(owner: Caller, wav: bytes) -> dict[str, str]:
    """A ready asset and a key of the owner."""
    asset_id = owner.land(wav)
    owner.finished(asset_id)
    hook = owner.hook("https://hooks.example.com/assetdock", "asset.ready", "asset.failed")
    return {"ASSET_ID": asset_id, "API_KEY_ID": owner.mint_key()["id"], "WEBHOOK_ENDPOINT_ID": hook["id"]}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", sorted(described()))
def test_an_example_answers_as_its_page_says(
    owner: Caller, variables: dict[str, str], name: str, tmp_path: Path
) -> None:
    _, _, operation = described()[name]
    if name == "renew_upload_url":
        variables["ASSET_ID"] = owner.reserve()["asset"]["id"]
    if name == "restore_asset":
        owner.http.delete(f"/assets/{variables['ASSET_ID']}")
    if name == "replay_webhook_delivery":
        variables["DELIVERY_ID"] = owner.test_hook(variables["WEBHOOK_ENDPOINT_ID"])["id"]
    command = SH.findall(page(owner, slug(operation)))[0]

    body, _, outcome = shell(CURL + command, owner, tmp_path, **variables).rpartition("\n")

    status, _, content_type = outcome.partition(" ")
    documented = operation["responses"][status]
    assert int(status) < 300, body
    if status == "204":
        assert body == ""
        return
    example = documented["content"][content_type]["example"]
    if isinstance(example, str):
        assert example.partition("…")[0].rstrip("\n").partition("{")[0] in body
    elif name == "get_openapi":
        assert set(example) <= set(json.loads(body))
    else:
        answer = json.loads(body)
        if name == "list_api_keys":
            answer["items"] = answer["items"][:1]
        if name in ("list_webhook_deliveries", "replay_webhook_delivery", "test_webhook_endpoint"):
            # What became of a delivery depends on who looks when; its model was checked, here its keys are.
            assert set(answer) == set(example)
        else:
            assert shape(answer) == shape(example)


def test_every_example_in_the_document_fits_its_model() -> None:
    for entry in TABLE:
        operation = entry.operation
        if operation.answer:
            operation.answer.model_validate(operation.example)
        if operation.body:
            operation.body.model_validate(operation.body_example)
        for _, _, model, example in operation.others:
            model.model_validate(example)
        for answer in described()[operation.id][2]["responses"].values():
            for each in answer.get("content", {}).get(JSON, {}).get("examples", {}).values():
                ErrorResponse.model_validate(each["value"])


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", READING_ORDER)
def test_the_commands_of_a_guide_work_in_the_order_they_are_written(
    owner: Caller, wav: bytes, name: str, tmp_path: Path
) -> None:
    (tmp_path / "tone.wav").write_bytes(wav)
    guide = page(owner, name)

    printed = shell("\n".join(SH.findall(guide)), owner, tmp_path)

    if name == "quickstart":
        assert json.dumps(json.loads(SHOWN.findall(guide)[0]), indent=2) in printed
    if name == "idempotency":
        assert len(printed.split()) == 2
        assert len(set(printed.split())) == 1
    if name == "waiting":
        assert printed.strip() == "true"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", ["moov-last.mp4", "cover.mp3"])
def test_media_is_shown_as_documented(owner: Caller, name: str, tmp_path: Path) -> None:
    """The answers are held to their models by tests.conformance."""
    sample, data = SAMPLES[name], make(name, tmp_path).read_bytes()

    asset = owner.finished(owner.land(data, type=sample.content_type.split("/")[0], content_type=sample.content_type))

    assert asset["media"]["streams"]
    assert owner.http.get("/assets").json()["items"][0]["media"] == asset["media"]
