"""Plaintexts are nowhere: not in the database, a log, an error, a metric, an event."""

import io
import json
from pathlib import Path

import httpx
import psycopg

from devstack.stack import Stack
from tests.callers import Caller
from tests.processes import Service, WorkerProcess
from tests.tone import tone


def everything_in(stack: Stack) -> str:
    """All rows of all tables that are ours or Storage's, as text."""
    text = io.StringIO()
    with psycopg.connect(stack.db_url) as connection:
        tables = connection.execute(
            "select oid::regclass::text from pg_class where relkind = 'r'"
            " and relnamespace = any('{api,app,private,storage,auth}'::regnamespace[])"
        ).fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f"select t::text from {table} t"):
                text.write(row)
    return text.getvalue()


def test_planted_secrets_are_found_nowhere_the_stack_wrote(
    owner: Caller, stack: Stack, service: Service, worker: WorkerProcess, worker_environment: dict[str, str]
) -> None:
    project, wav = owner.project, tone(0.5)
    key = owner.mint_key(name="planted")
    holder = Caller(project, key["plaintext"], owner.owner_id)
    reservation = holder.reserve()
    upload_token = reservation["upload"]["url"].split("token=")[1]
    assert holder.upload(reservation, wav).status_code == 200
    download_token = holder.finished(reservation["asset"]["id"])["download_url"].split("token=")[1]
    # Every way of failing with it in hand.
    for headers in (
        {"Authorization": f"Bearer {key['plaintext']}x"},
        {"Authorization": f"Basic {key['plaintext']}"},
        {"Authorization": key["plaintext"]},
        {"Idempotency-Key": key["plaintext"]},
    ):
        for path in ("/assets", "/assets/nonsense", "/nothing", f"/assets?cursor={key['plaintext']}"):
            httpx.get(f"{project.api_url}/api/v1{path}", headers=headers)
    owner.http.delete(f"/api-keys/{key['id']}")
    holder.http.get("/assets")

    signing = json.loads(stack.signing_key)["d"]
    secrets = {
        "API key": key["plaintext"],
        "secret half of the API key": key["plaintext"][16:],
        "session": owner.credential.split(".")[2],
        "upload token": upload_token.split(".")[2],
        "download token": download_token.split(".")[2],
        "signing key": signing,
        "worker token": worker_environment["SUPABASE_WORKER_TOKEN"].split(".")[2],
    }
    written = {
        "the service's log": service.output,
        "the worker's log": worker.output,
        "the metrics": httpx.get(f"{project.api_url}/metrics").text,
        "the database": everything_in(stack),
        "Postgres's log": Path(stack.state_dir, "logs/postgres.log").read_text(errors="replace"),
        "PostgREST's log": Path(stack.state_dir, "logs/postgrest.log").read_text(errors="replace"),
    }
    found = [(name, place) for name, secret in secrets.items() for place, text in written.items() if secret in text]
    assert reservation["asset"]["id"] in written["the database"]  # shows that the search finds what is there
    assert reservation["asset"]["id"] in written["the service's log"]
    assert found == []
