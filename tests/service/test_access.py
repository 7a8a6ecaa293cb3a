"""Every route by every kind of caller: who gets in, and what the others are told."""

import asyncio
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from assetdock_server.errors import ApiError, Unauthenticated
from assetdock_server.identity.principal import Principal
from assetdock_server.routes.entry import Entry
from assetdock_server.routes.table import TABLE, routes
from tests.callers import Caller, Project, assert_rejected, session_caller

Database = psycopg.Connection[Any]
SCOPES = [
    "assets:read", "assets:write", "assets:produce",
    "api_keys:read", "api_keys:write",
    "webhooks:read", "webhooks:write",
]  # fmt: skip
PRIVATE = [entry for entry in TABLE if entry.access != "public"]
OF_ASSETS = [entry for entry in PRIVATE if "{asset_id}" in entry.path]
OF_KEYS = [entry for entry in PRIVATE if "{api_key_id}" in entry.path]
OF_HOOKS = [entry for entry in PRIVATE if "{webhook_endpoint_id}" in entry.path]

# What a caller with every right gets on a fresh asset that waits for its bytes, or a fresh key. A route that is in the
# table but not here fails the test below.
WELCOME: dict[tuple[str, str], tuple[int, str | None]] = {
    ("POST", "/api/v1/assets/upload-url"): (201, None),
    ("POST", "/api/v1/assets/{asset_id}/upload-url"): (200, None),
    ("POST", "/api/v1/assets/{asset_id}/confirm"): (409, "upload_incomplete"),
    ("GET", "/api/v1/assets"): (200, None),
    ("GET", "/api/v1/assets/{asset_id}"): (200, None),
    ("GET", "/api/v1/assets/{asset_id}/events"): (200, None),
    ("DELETE", "/api/v1/assets/{asset_id}"): (204, None),
    ("POST", "/api/v1/assets/{asset_id}/restore"): (200, None),
    ("POST", "/api/v1/api-keys"): (201, None),
    ("GET", "/api/v1/api-keys"): (200, None),
    ("POST", "/api/v1/api-keys/{api_key_id}/rotate"): (201, None),
    ("DELETE", "/api/v1/api-keys/{api_key_id}"): (204, None),
    ("POST", "/api/v1/webhook-endpoints"): (201, None),
    ("GET", "/api/v1/webhook-endpoints"): (200, None),
    ("GET", "/api/v1/webhook-endpoints/{webhook_endpoint_id}"): (200, None),
    ("DELETE", "/api/v1/webhook-endpoints/{webhook_endpoint_id}"): (204, None),
    ("POST", "/api/v1/webhook-endpoints/{webhook_endpoint_id}/rotate-secret"): (200, None),
    ("POST", "/api/v1/webhook-endpoints/{webhook_endpoint_id}/test"): (202, None),
    ("GET", "/api/v1/webhook-endpoints/{webhook_endpoint_id}/deliveries"): (200, None),
    ("POST", "/api/v1/webhook-endpoints/{webhook_endpoint_id}/deliveries/{delivery_id}/replay"): (202, None),
}
HOOK = "https://hooks.invalid/"
EXAMPLES = {"/docs/assets/{file}": "/docs/assets/swagger-ui.css", "/docs/{page}.md": "/docs/quickstart.md"}
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/assets/upload-url": {"type": "audio"},
    # The narrowest key there is, so that only the scope of the route decides.
    "/api/v1/api-keys": {"name": "n", "scopes": ["api_keys:write"]},
    "/api/v1/webhook-endpoints": {"url": HOOK, "event_types": ["asset.ready"]},
}


@dataclass
class World:
    """An owner with something of everything, and one key for each scope."""

    project: Project
    owner: Caller
    keys: dict[str, Caller] = field(default_factory=dict)

    def path(self, entry: Entry, asset_id: str = "", api_key_id: str = "") -> str:
        if "{asset_id}" in entry.path:
            asset_id = asset_id or self.owner.reserve()["asset"]["id"]
        if "{api_key_id}" in entry.path:
            api_key_id = api_key_id or self.owner.mint_key(scopes=["api_keys:write"])["id"]
        hook_id = delivery_id = ""
        if "{webhook_endpoint_id}" in entry.path:
            hook_id = self.owner.create_endpoint(HOOK)["id"]
        if "{delivery_id}" in entry.path:
            delivery_id = self.owner.send_test_event(hook_id)["id"]
        return entry.path.format(
            asset_id=asset_id, api_key_id=api_key_id, webhook_endpoint_id=hook_id, delivery_id=delivery_id
        )


def call(project: Project, entry: Entry, path: str, credential: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return httpx.request(entry.method, project.api_url + path, headers=headers, json=BODIES.get(entry.path))


def says(answer: httpx.Response, status: int, code: str | None) -> None:
    if code is None:
        assert answer.status_code == status, answer.text
    else:
        assert_rejected(answer, status, code)


def named(entry: Entry) -> str:
    return f"{entry.method} {entry.path}"


@pytest.fixture(scope="module")
def world(project: Project, module_database: Database) -> Iterator[World]:
    owner = session_caller(project)
    module_database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    module_database.execute(
        "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1000000)", [owner.owner_id]
    )
    world = World(project, owner)
    for scope in SCOPES:
        world.keys[scope] = owner.key_holder(scopes=[scope])
    yield world
    for caller in (owner, *world.keys.values()):
        caller.http.close()


@pytest.fixture(scope="module")
def module_database(stack: Any) -> Any:
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


def test_every_private_route_is_in_this_table_and_names_a_scope_that_exists() -> None:
    ours = {(entry.method, entry.path) for entry in PRIVATE}

    assert ours == set(WELCOME)
    assert {entry.access for entry in PRIVATE} <= set(SCOPES)


def test_a_handler_that_forgets_to_ask_who_is_calling_is_not_open() -> None:
    async def careless(_: Request, principal: Principal) -> Response:
        return PlainTextResponse(f"hello {principal.owner_id}")

    class Nobody:
        asked = 0

        async def identify(self, request: Request) -> Principal:
            self.asked += 1
            if "authorization" in request.headers:
                return Principal("session", "ada", "token", "session")
            raise Unauthenticated("No credential")

    entry = next(entry for entry in TABLE if entry.method == "GET" and entry.access != "public")
    app = Starlette(
        routes=routes([replace(entry, path="/careless", handler=careless)]),
        exception_handlers={ApiError: lambda _, error: PlainTextResponse(error.code, error.status)},
    )
    app.state.resources = nobody = Nobody()

    async def ask(method: str, **headers: str) -> tuple[int, str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.request(method, "/careless", headers=headers)
            return answer.status_code, answer.text

    assert asyncio.run(ask("GET")) == (401, "unauthenticated")
    assert asyncio.run(ask("HEAD"))[0] == 401
    assert asyncio.run(ask("GET", authorization="Bearer x")) == (200, "hello ada")
    assert nobody.asked == 3  # exactly once a request


@pytest.mark.parametrize("entry", PRIVATE, ids=named)
def test_without_a_token_nothing_is_told_not_even_what_exists(world: World, entry: Entry) -> None:
    path = entry.path.replace("{asset_id}", str(uuid.uuid4())).replace("{api_key_id}", str(uuid.uuid4()))
    path = path.replace("{webhook_endpoint_id}", str(uuid.uuid4())).replace("{delivery_id}", str(uuid.uuid4()))

    assert_rejected(call(world.project, entry, path, None), 401, "unauthenticated")


@pytest.mark.parametrize("entry", PRIVATE, ids=named)
def test_a_session_is_welcome_everywhere(world: World, entry: Entry) -> None:
    answer = call(world.project, entry, world.path(entry), world.owner.credential)

    says(answer, *WELCOME[entry.method, entry.path])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("entry", PRIVATE, ids=named)
def test_a_key_of_one_scope_gets_through_exactly_its_own_routes(world: World, entry: Entry, scope: str) -> None:
    answer = call(world.project, entry, world.path(entry), world.keys[scope].credential)

    if scope == entry.access:
        says(answer, *WELCOME[entry.method, entry.path])
    else:
        error = assert_rejected(answer, 403, "insufficient_scope")
        assert entry.access in error["message"]


@pytest.mark.parametrize("entry", OF_ASSETS + OF_KEYS + OF_HOOKS, ids=named)
def test_a_strangers_and_a_malformed_id_are_not_found(world: World, stranger: Caller, entry: Entry) -> None:
    foreign = world.path(entry)
    malformed = re.sub(r"\{\w+\}", "not-an-id", entry.path)

    assert_rejected(call(world.project, entry, foreign, stranger.credential), 404, "not_found")
    assert_rejected(call(world.project, entry, malformed, world.owner.credential), 404, "not_found")


@pytest.mark.parametrize("entry", [entry for entry in TABLE if entry.access == "public"], ids=named)
def test_public_routes_answer_without_a_token_and_ignore_a_bad_one(world: World, entry: Entry) -> None:
    path = entry.path
    if entry.path in EXAMPLES:
        path = EXAMPLES[entry.path]
    elif entry.path == "/web/{name}":  # whatever the build has named it
        page = httpx.get(f"{world.project.api_url}/").text
        path = re.findall(r'"(/web/[^"]+)"', page)[0]

    assert "{" not in path
    assert call(world.project, entry, path, None).status_code == 200
    assert call(world.project, entry, path, "rk_live_nonsense").status_code == 200
