"""Runs every curl command of the pages and guides, and compares the responses with those that the pages show."""

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
from assetdock_server.routes.schemas.problems import ErrorResponse
from assetdock_server.routes.table import TABLE
from tests.callers import Caller
from tests.media import SAMPLES, make
from tests.service.openapi import described

SH = re.compile(r"```sh\n(.*?)```", re.DOTALL)
SHOWN = re.compile(r"```json\n(.*?)```", re.DOTALL)
# Prints the status and media type after each response.
CURL = """curl() { command curl --silent --show-error --write-out '\\n%{http_code} %{content_type}' "$@"; }\n"""


def shell(script: str, caller: Caller, cwd: Path, **variables: str) -> str:
    """Runs a script in a shell that is set up as the guides say, and returns its output."""
    environment = {"PATH": os.environ["PATH"], "API_URL": caller.project.api_url, "ASSETDOCK_TOKEN": caller.credential}
    finished = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={**environment, **variables},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def page(caller: Caller, name: str) -> str:
    return httpx.get(f"{caller.project.api_url}/docs/{name}.md").text


def shape(value: Any) -> Any:
    """Returns a JSON value with each scalar replaced by the name of its type."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value).__name__


@pytest.fixture
def variables(owner: Caller, wav: bytes) -> dict[str, str]:
    """The ids of a ready asset, a key and a webhook endpoint of the owner."""
    asset_id = owner.land(wav)
    owner.wait_until_finished(asset_id)
    hook = owner.create_endpoint("https://hooks.example.com/assetdock", "asset.ready", "asset.failed")
    return {"ASSET_ID": asset_id, "API_KEY_ID": owner.mint_key()["id"], "WEBHOOK_ENDPOINT_ID": hook["id"]}


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", sorted(described()))
def test_example_command_returns_the_documented_response(
    owner: Caller, variables: dict[str, str], name: str, tmp_path: Path
) -> None:
    _, _, operation = described()[name]
    if name == "renew_upload_url":
        variables["ASSET_ID"] = owner.reserve()["asset"]["id"]
    if name == "restore_asset":
        owner.http.delete(f"/assets/{variables['ASSET_ID']}")
    if name == "replay_webhook_delivery":
        variables["DELIVERY_ID"] = owner.send_test_event(variables["WEBHOOK_ENDPOINT_ID"])["id"]
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
        response = json.loads(body)
        if name == "list_api_keys":
            response["items"] = response["items"][:1]
        if name in ("list_webhook_deliveries", "replay_webhook_delivery", "test_webhook_endpoint"):
            # The values depend on whether the worker has sent the delivery yet, so only the keys are compared.
            assert set(response) == set(example)
        else:
            assert shape(response) == shape(example)


def test_every_example_matches_its_model() -> None:
    for entry in TABLE:
        operation = entry.operation
        if operation.response:
            operation.response.model_validate(operation.example)
        if operation.body:
            operation.body.model_validate(operation.body_example)
        for _, _, model, example in operation.other_responses:
            model.model_validate(example)
        for response in described()[operation.id][2]["responses"].values():
            for each in response.get("content", {}).get(JSON, {}).get("examples", {}).values():
                ErrorResponse.model_validate(each["value"])


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("name", READING_ORDER)
def test_commands_of_a_guide_work_in_order(owner: Caller, wav: bytes, name: str, tmp_path: Path) -> None:
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
def test_media_of_a_ready_asset_is_listed(owner: Caller, name: str, tmp_path: Path) -> None:
    """tests.conformance checks the responses against their models."""
    sample, data = SAMPLES[name], make(name, tmp_path).read_bytes()

    asset = owner.wait_until_finished(
        owner.land(data, type=sample.content_type.split("/")[0], content_type=sample.content_type)
    )

    assert asset["media"]["streams"]
    assert owner.http.get("/assets").json()["items"][0]["media"] == asset["media"]
