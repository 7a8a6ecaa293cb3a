"""Every function and view of schema assetdock by every kind of caller, through real PostgREST.

The rows come from the catalogue, so that a new function or view can't be forgotten: without a line in ALLOWED it fails.
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

Database = psycopg.Connection[Any]
Sign = Callable[[dict[str, Any]], str]
SCOPES = [
    "assets:read", "assets:write", "assets:produce",
    "api_keys:read", "api_keys:write",
    "webhooks:read", "webhooks:write",
]  # fmt: skip

# The scope a function asks of its caller, or the roles that alone may execute it.
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
    "ping": "assetdock_gateway",
    "resolve_api_key": "assetdock_gateway",
    "settled_assets": "assetdock_gateway",
    # views
    "api_keys": "api_keys:read",
    "asset_events": "assets:read",
    "assets": "assets:read",
    "webhook_endpoints": "webhooks:read",
}
# Functions about one asset, key or endpoint: a stranger is told that there is nothing.
ABOUT_ONE = ("get_asset", "list_asset_events", "confirm_upload", "renew_upload", "delete_asset", "restore_asset",
             "rotate_api_key", "revoke_api_key", "get_webhook_endpoint", "delete_webhook_endpoint",
             "rotate_webhook_secret", "test_webhook_endpoint", "list_webhook_deliveries",
             "replay_webhook_delivery")  # fmt: skip
# What the arguments of `valid_arguments` come to with a caller who is welcome; 200 where nothing stands here.
WELCOME: dict[str, tuple[int, str | None]] = {
    "confirm_upload": (409, "upload_incomplete"),
    **dict.fromkeys(["delete_asset", "delete_webhook_endpoint", "revoke_api_key"], (204, None)),
    # There is no such job, no such discrepancy, no such key.
    **dict.fromkeys(
        [
            "begin_delivery",
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
    """An owner with an asset and keys of every kind, a stranger, and the tokens they all hold."""

    url: str
    publishable_key: str
    owner: Caller
    http: httpx.Client  # one connection for hundreds of calls
    tokens: dict[str, str | None] = field(default_factory=dict)

    def call(self, name: str, kind: str, token: str | None, arguments: dict[str, Any]) -> httpx.Response:
        headers = {"apikey": self.publishable_key, "Accept-Profile": "assetdock", "Content-Profile": "assetdock"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if kind == "view":
            return self.http.get(f"{self.url}/rest/v1/{name}", params={"select": "*"}, headers=headers)
        return self.http.post(f"{self.url}/rest/v1/rpc/{name}", json=arguments, headers=headers)


@pytest.fixture(scope="module")
def catalogue(stack: Stack) -> list[tuple[str, str, list[str]]]:
    """(name, 'function' or 'view', names of its arguments) of all that PostgREST exposes."""
    with psycopg.connect(stack.db_url) as connection:
        functions = connection.execute(
            "select proname, coalesce(proargnames, '{}') from pg_proc where pronamespace = 'assetdock'::regnamespace"
        ).fetchall()
        views = connection.execute(
            "select relname from pg_class where relnamespace = 'assetdock'::regnamespace"
        ).fetchall()
    return sorted([(name, "function", args) for name, args in functions] + [(name, "view", []) for (name,) in views])


@pytest.fixture(scope="module")
def world(stack: Stack, project: Project, sign: Sign) -> Iterator[World]:
    owner, stranger = session_caller(project), session_caller(project)
    world = World(stack.supabase_url, stack.publishable_key, owner, httpx.Client())
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
        connection.execute(
            "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1000000)", [owner.owner_id]
        )

        def minted(**fields: Any) -> tuple[str, str]:
            key = owner.mint_key(**fields)
            now = int(time.time())
            claims = {"role": "authenticated", "sub": owner.owner_id, "api_key_id": key["id"]}
            token = sign({**claims, "iss": "assetdock", "aud": "authenticated", "iat": now, "exp": now + 300})
            return key["id"], token

        world.tokens = {"anon": None, "owner": owner.credential, "stranger": stranger.credential}
        for scope in SCOPES:
            world.tokens[f"key {scope}"] = minted(scopes=[scope])[1]
        everything = SCOPES
        revoked_id, world.tokens["revoked key"] = minted(scopes=everything)
        owner.http.delete(f"/api-keys/{revoked_id}")
        expired_id, world.tokens["expired key"] = minted(scopes=everything)
        connection.execute("update assetdock_app.api_keys set expires_at = now() where id = %s", [expired_id])
        now = int(time.time())
        special: dict[str, dict[str, Any]] = {
            "malformed key": {"role": "authenticated", "sub": owner.owner_id, "api_key_id": "nonsense"},
            "null key": {"role": "authenticated", "sub": owner.owner_id, "api_key_id": None},
            "anothers key": {"role": "authenticated", "sub": stranger.owner_id, "api_key_id": minted()[0]},
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


def expected(name: str, kind: str, caller: str) -> tuple[int, str | None]:
    """The status and code of the one answer there may be. Views hide and never refuse; functions refuse."""
    wanted = ALLOWED[name]
    welcome = WELCOME.get(name, (200, None))
    if caller == "anon":
        return (401, "42501")
    if caller in ("assetdock_worker", "assetdock_gateway", "service_role"):
        return welcome if caller in wanted.split() else (403, "42501")
    if wanted.startswith("assetdock_"):
        return (403, "42501")
    if kind == "view":
        return (200, None)
    if caller in ("owner", f"key {wanted}"):
        return welcome
    if caller.startswith("key "):
        return (403, "insufficient_scope")
    if caller == "stranger":
        return (404, "not_found") if name in ABOUT_ONE else welcome
    return (401, "unauthenticated")


def sees_rows(name: str, caller: str) -> bool:
    # A stranger may make an endpoint, too, and has done so by the time the view is asked.
    return caller in ("owner", f"key {ALLOWED[name]}") or (name, caller) == ("webhook_endpoints", "stranger")


def test_the_matrix(
    world: World, catalogue: list[tuple[str, str, list[str]]], paused_worker: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for asset in range(2):
        world.owner.reserve(filename=f"{asset}")
    world.owner.delete_one()
    names = {name for name, _, _ in catalogue}
    unexpected = []
    cells = 0
    for name, kind, argument_names in catalogue:
        assert name in ALLOWED, f"{name} is new: say in ALLOWED who may call it"
        for caller, token in world.tokens.items():
            answer = world.call(name, kind, token, valid_arguments(world.owner, argument_names))
            body = json.loads(answer.text or "null")
            code = body.get("code") if isinstance(body, dict) and answer.status_code >= 400 else None
            cells += 1
            if (answer.status_code, code) != expected(name, kind, caller):
                unexpected.append((name, caller, answer.status_code, answer.text[:200]))
            if kind == "view" and answer.status_code == 200 and bool(body) != sees_rows(name, caller):
                unexpected.append((name, caller, 200, f"{len(body)} rows"))
    with capsys.disabled():
        print(
            f"\nisolation matrix: {len(names)} functions and views, {cells} cells checked, {len(unexpected)} unexpected"
        )

    assert not unexpected, "\n".join(map(str, unexpected))
    assert cells >= len(ALLOWED) * len(world.tokens)


def test_a_hash_in_the_database_is_the_sha_256_of_the_key_and_nothing_else_of_it(world: World, stack: Stack) -> None:
    key = world.owner.mint_key()
    with psycopg.connect(stack.db_url) as connection:
        rows = connection.execute("select k::text, s::text from assetdock_app.api_keys k join assetdock_private.api_key_secrets s"
                                  " on s.api_key_id = k.id where k.id = %s", [key["id"]]).fetchall()  # fmt: skip
    text = str(rows)
    assert hashlib.sha256(key["plaintext"].encode()).hexdigest() in text
    assert key["plaintext"] not in text
    assert key["plaintext"][16:] not in text
