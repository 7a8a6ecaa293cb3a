"""The isolation matrix: every function of schema assetdock, called by every kind of caller through PostgREST.

The functions come from Postgres's catalogue: a new one without a line in ALLOWED fails the test.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest

from devstack.stack import Stack
from tests.callers import Caller, Project, session_caller
from tests.security.arguments import valid_arguments

Sign = Callable[[dict[str, Any]], str]
SCOPES = [
    "assets:read", "assets:write", "assets:produce",
    "api_keys:read", "api_keys:write",
    "webhooks:read", "webhooks:write",
]  # fmt: skip

# The scope that a function requires, or the roles that can execute it.
ALLOWED = {
    "create_upload": "assets:write",
    "renew_upload": "assets:write",
    "confirm_upload": "assets:write",
    "get_asset": "assets:read",
    "list_assets": "assets:read",
    "list_asset_events": "assets:read",
    "delete_asset": "assets:write",
    "restore_asset": "assets:write",
    "create_api_key": "api_keys:write",
    "list_api_keys": "api_keys:read",
    "rotate_api_key": "api_keys:write",
    "revoke_api_key": "api_keys:write",
    "create_webhook_endpoint": "webhooks:write",
    "list_webhook_endpoints": "webhooks:read",
    "get_webhook_endpoint": "webhooks:read",
    "delete_webhook_endpoint": "webhooks:write",
    "rotate_webhook_secret": "webhooks:write",
    "test_webhook_endpoint": "webhooks:write",
    "list_webhook_deliveries": "webhooks:read",
    "replay_webhook_delivery": "webhooks:write",
    "begin_delivery": "assetdock_worker",
    "begin_probe": "assetdock_worker",
    "begin_purge": "assetdock_worker",
    "complete_probe": "assetdock_worker",
    "complete_purge": "assetdock_worker",
    "extend_lease": "assetdock_worker",
    "run_maintenance": "assetdock_worker",
    "lease_jobs": "assetdock_worker",
    "purge_owner_batch": "assetdock_worker",
    "record_delivery": "assetdock_worker",
    "reject_probe": "assetdock_worker",
    "release_job": "assetdock_worker",
    "retry_job": "assetdock_worker",
    "find_discrepancies": "assetdock_worker",
    "repair_discrepancy": "assetdock_worker",
    "queue_stats": "assetdock_worker assetdock_gateway",
    "ping": "assetdock_worker assetdock_gateway",
    "resolve_api_key": "assetdock_gateway",
    "finished_assets": "assetdock_gateway",
}
# Functions that take the id of an asset, key or endpoint. A stranger gets not_found.
TAKING_AN_ID = ("get_asset", "list_asset_events", "confirm_upload", "renew_upload", "delete_asset", "restore_asset",
             "rotate_api_key", "revoke_api_key", "get_webhook_endpoint", "delete_webhook_endpoint",
             "rotate_webhook_secret", "test_webhook_endpoint", "list_webhook_deliveries",
             "replay_webhook_delivery")  # fmt: skip
# The status and code that an allowed caller gets for `valid_arguments`. All other functions respond with 200.
WHEN_ALLOWED: dict[str, tuple[int, str | None]] = {
    "confirm_upload": (409, "upload_incomplete"),
    **dict.fromkeys(["delete_asset", "delete_webhook_endpoint", "revoke_api_key"], (204, None)),
    # The job, discrepancy or key does not exist.
    **dict.fromkeys(
        [
            "begin_delivery",
            "begin_probe",
            "begin_purge",
            "complete_probe",
            "complete_purge",
            "extend_lease",
            "purge_owner_batch",
            "record_delivery",
            "reject_probe",
            "release_job",
            "retry_job",
        ],
        (409, "conflict"),
    ),
    "repair_discrepancy": (400, "bad_request"),
    "resolve_api_key": (401, "unauthenticated"),
}


@dataclass
class World:
    """An owner with an asset and keys of every kind, a stranger, and the token of each kind of caller."""

    url: str
    publishable_key: str
    owner: Caller
    http: httpx.Client  # one connection for hundreds of calls
    tokens: dict[str, str | None] = field(default_factory=dict)

    def call(self, name: str, token: str | None, arguments: dict[str, Any]) -> httpx.Response:
        headers = {"apikey": self.publishable_key, "Accept-Profile": "assetdock", "Content-Profile": "assetdock"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        return self.http.post(f"{self.url}/rest/v1/rpc/{name}", json=arguments, headers=headers)


@pytest.fixture(scope="module")
def catalogue(stack: Stack) -> list[tuple[str, list[str]]]:
    """(name, names of its arguments) for each function that PostgREST exposes."""
    with psycopg.connect(stack.db_url) as connection:
        functions = connection.execute(
            "select proname, coalesce(proargnames, '{}') from pg_proc where pronamespace = 'assetdock'::regnamespace"
        ).fetchall()
    return sorted(functions)


@pytest.fixture(scope="module")
def refusals() -> set[tuple[int, str | None]]:
    """The status and code of a function that a role may not execute; 401 for anon. Another project has other ones."""
    return {(401, "42501"), (403, "42501")}


@pytest.fixture(scope="module")
def world(stack: Stack, project: Project, sign: Sign) -> Iterator[World]:
    owner, stranger = session_caller(project), session_caller(project)
    world = World(stack.supabase_url, stack.publishable_key, owner, httpx.Client())
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
        connection.execute(
            "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1000000)", [owner.owner_id]
        )

        def mint(**fields: Any) -> tuple[str, str]:
            key = owner.mint_key(**fields)
            now = int(time.time())
            claims = {"role": "authenticated", "sub": owner.owner_id, "api_key_id": key["id"]}
            token = sign({**claims, "iss": "assetdock", "aud": "authenticated", "iat": now, "exp": now + 300})
            return key["id"], token

        world.tokens = {"anon": None, "owner": owner.credential, "stranger": stranger.credential}
        for scope in SCOPES:
            world.tokens[f"key {scope}"] = mint(scopes=[scope])[1]
        revoked_id, world.tokens["revoked key"] = mint(scopes=SCOPES)
        owner.http.delete(f"/api-keys/{revoked_id}")
        expired_id, world.tokens["expired key"] = mint(scopes=SCOPES)
        connection.execute("update assetdock_app.api_keys set expires_at = now() where id = %s", [expired_id])
        now = int(time.time())
        special: dict[str, dict[str, Any]] = {
            "malformed key": {"role": "authenticated", "sub": owner.owner_id, "api_key_id": "nonsense"},
            "null key": {"role": "authenticated", "sub": owner.owner_id, "api_key_id": None},
            "another owner's key": {"role": "authenticated", "sub": stranger.owner_id, "api_key_id": mint()[0]},
            "unknown user": {"role": "authenticated", "sub": str(uuid.uuid4())},
            "assetdock_worker": {"role": "assetdock_worker"},
            "assetdock_gateway": {"role": "assetdock_gateway"},
            "service_role": {"role": "service_role"},
        }
        for name, claims in special.items():
            world.tokens[name] = sign({**claims, "aud": "authenticated", "iat": now, "exp": now + 3600})
    yield world
    world.http.close()
    owner.http.close()
    stranger.http.close()


def expected(name: str, caller: str) -> tuple[int, str | None] | None:
    """The status and code that a caller must get; None if its role may not execute the function."""
    required = ALLOWED[name]
    when_allowed = WHEN_ALLOWED.get(name, (200, None))
    if caller in ("assetdock_worker", "assetdock_gateway", "service_role"):
        return when_allowed if caller in required.split() else None
    if caller == "anon" or required.startswith("assetdock_"):
        return None
    if caller in ("owner", f"key {required}"):
        return when_allowed
    if caller.startswith("key "):
        return (403, "insufficient_scope")
    if caller == "stranger":
        return (404, "not_found") if name in TAKING_AN_ID else when_allowed
    return (401, "unauthenticated")


def test_every_caller_gets_exactly_the_expected_response_from_every_function(
    world: World,
    catalogue: list[tuple[str, list[str]]],
    refusals: set[tuple[int, str | None]],
    paused_worker: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for asset in range(2):
        world.owner.reserve(filename=f"{asset}")
    world.owner.create_deleted_asset()
    unexpected = []
    cells = 0
    for name, argument_names in catalogue:
        assert name in ALLOWED, f"{name} is new: add to ALLOWED who can call it"
        for caller, token in world.tokens.items():
            response = world.call(name, token, valid_arguments(world.owner, argument_names))
            body = json.loads(response.text or "null")
            code = body.get("code") if isinstance(body, dict) and response.status_code >= 400 else None
            cells += 1
            outcome = expected(name, caller)
            if (response.status_code, code) not in ({outcome} if outcome else refusals):
                unexpected.append((name, caller, response.status_code, response.text[:200]))
    with capsys.disabled():
        print(f"\nisolation matrix: {len(catalogue)} functions, {cells} cells, {len(unexpected)} unexpected")

    assert not unexpected, "\n".join(map(str, unexpected))
    assert cells >= len(ALLOWED) * len(world.tokens)


def test_the_database_stores_only_the_prefix_and_the_sha_256_of_a_key(world: World, stack: Stack) -> None:
    key = world.owner.mint_key()

    with psycopg.connect(stack.db_url) as connection:
        rows = connection.execute(
            "select k::text, s::text from assetdock_app.api_keys k"
            " join assetdock_private.api_key_secrets s on s.api_key_id = k.id where k.id = %s",
            [key["id"]],
        ).fetchall()

    text = str(rows)
    assert hashlib.sha256(key["plaintext"].encode()).hexdigest() in text
    assert key["plaintext"] not in text
    assert key["plaintext"][16:] not in text
