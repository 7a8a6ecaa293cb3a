"""No plaintext secret is in the database, a log, an error, a metric or an event."""

import io
import json
import re
from pathlib import Path

import httpx
import psycopg

from assetdock_server.config import service_settings
from assetdock_server.identity.minting import Minter
from devstack.ports import Ports
from devstack.stack import Stack
from tests.callers import Caller
from tests.polling import until
from tests.processes import Service, WorkerProcess
from tests.tone import tone

JWT = re.compile(r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+")


def everything_in(stack: Stack) -> str:
    """All rows of our tables and of Storage's and Auth's, as text. Webhook secrets must stay readable."""
    text = io.StringIO()
    with psycopg.connect(stack.db_url) as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class where relkind = 'r' and relname <> 'webhook_secrets'"
            " and relnamespace = any('{assetdock,assetdock_app,assetdock_private,storage,auth}'::regnamespace[])"
        ).fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f"select t::text from {table} t"):
                text.write(row)
    return text.getvalue()


def test_no_secret_is_in_anything_that_the_stack_wrote(
    *,
    owner: Caller,
    stack: Stack,
    service: Service,
    worker: WorkerProcess,
    service_environment: dict[str, str],
    worker_environment: dict[str, str],
) -> None:
    project, wav = owner.project, tone(0.5)
    metrics_port = Ports.free().gateway
    second_worker = WorkerProcess({**worker_environment, "ASSETDOCK_WORKER_METRICS_PORT": str(metrics_port)})
    key = owner.mint_key(name="planted")
    hook = owner.create_endpoint("https://hooks.invalid/")
    owner.send_test_event(hook["id"])
    key_holder = Caller(project, key["plaintext"], owner.owner_id)
    reservation = key_holder.reserve()
    upload_token = reservation["upload"]["url"].split("token=")[1]
    assert key_holder.upload(reservation, wav).status_code == 200
    download_token = key_holder.wait_until_finished(reservation["asset"]["id"])["download_url"].split("token=")[1]
    minter = Minter(service_settings(service_environment).signing_key)
    minted = {
        "token of the key": minter.for_api_key(key["id"], owner.owner_id),
        "token of the gateway": minter.for_gateway(),
    }
    # Failing requests that carry a secret.
    failures: list[str] = []
    for headers in (
        {"Authorization": f"Bearer {key['plaintext']}x"},
        {"Authorization": f"Basic {key['plaintext']}"},
        {"Authorization": key["plaintext"]},
        {"Idempotency-Key": key["plaintext"]},
        *({"Authorization": f"Bearer {token}"} for token in minted.values()),
    ):
        for path in ("/assets", "/assets/nonsense", "/nothing", f"/assets?cursor={key['plaintext']}"):
            response = httpx.get(f"{project.api_url}/api/v1{path}", headers=headers)
            assert response.status_code >= 400
            failures.append(f"{response.headers}\n{response.text}")
        for path in ("rest/v1/assets?select=nonsense", "rest/v1/rpc/nothing", "storage/v1/object/assets/nothing"):
            response = httpx.get(f"{stack.supabase_url}/{path}", headers=headers)
            failures.append(f"{response.headers}\n{response.text}")
    owner.http.delete(f"/api-keys/{key['id']}")
    response = key_holder.http.get("/assets")
    failures.append(f"{response.headers}\n{response.text}")
    until(lambda: owner.deliveries(hook["id"])[0]["attempts"], "an attempt to deliver the webhook")

    signing = json.loads(stack.signing_key)["d"]
    secrets = {
        "API key": key["plaintext"],
        "secret half of the API key": key["plaintext"][16:],
        "session": owner.credential.split(".")[2],
        "upload token": upload_token.split(".")[2],
        "download token": download_token.split(".")[2],
        "signing key": signing,
        "worker token": worker_environment["SUPABASE_WORKER_TOKEN"].split(".")[2],
        "secret key": stack.secret_key,
        "webhook secret": hook["secret"].removeprefix("whsec_"),
        **{name: token.split(".")[2] for name, token in minted.items()},
    }
    logs = {path.name: path.read_text(errors="replace") for path in Path(stack.state_dir, "logs").glob("*.log")}
    assert {"postgres.log", "postgrest.log", "gateway.log", "functions.log"} <= set(logs)
    written = {
        "the service's log": service.output,
        "the worker's log": worker.output,
        "the second worker's log": second_worker.output,
        "the metrics": httpx.get(f"{project.api_url}/metrics").text,
        "the worker's metrics": httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text,
        "error responses": "\n".join(failures),
        "the database": everything_in(stack),
        **logs,
    }
    second_worker.stop()
    found = {(name, place) for name, secret in secrets.items() for place, text in written.items() if secret in text}
    assert reservation["asset"]["id"] in written["the database"]  # proves that the search works
    assert reservation["asset"]["id"] in written["the service's log"]
    assert found == set()
    for place in ("the service's log", "the worker's log", "the second worker's log", *logs):
        assert not JWT.search(written[place]), f"a JWT in {place}"
