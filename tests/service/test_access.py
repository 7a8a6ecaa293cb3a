"""Access control: calls every route as every kind of caller."""

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
ASSET_ROUTES = [entry for entry in PRIVATE if "{asset_id}" in entry.path]
KEY_ROUTES = [entry for entry in PRIVATE if "{api_key_id}" in entry.path]
ENDPOINT_ROUTES = [entry for entry in PRIVATE if "{webhook_endpoint_id}" in entry.path]

# The status and error code that an authorized caller gets for a new asset without bytes, a new API key or a new webhook
# endpoint. A test below fails if a route of the table is missing here.
AUTHORIZED: dict[tuple[str, str], tuple[int, str | None]] = {
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
ENDPOINT_URL = "https://hooks.invalid/"
EXAMPLES = {"/docs/assets/{file}": "/docs/assets/swagger-ui.css", "/docs/{page}.md": "/docs/quickstart.md"}
BODIES: dict[str, dict[str, Any]] = {
    "/api/v1/assets/upload-url": {"type": "audio"},
    # The new key asks for one scope that its creator has, so that only the scope of the route decides.
    "/api/v1/api-keys": {"name": "n", "scopes": ["api_keys:write"]},
    "/api/v1/webhook-endpoints": {"url": ENDPOINT_URL, "event_types": ["asset.ready"]},
}


@dataclass
class Tenant:
    """An owner with resources of every kind, and one API key for each scope."""

    project: Project
    owner: Caller
    keys: dict[str, Caller] = field(default_factory=dict)

    def path(self, entry: Entry, asset_id: str = "", api_key_id: str = "") -> str:
        if "{asset_id}" in entry.path:
            asset_id = asset_id or self.owner.reserve()["asset"]["id"]
        if "{api_key_id}" in entry.path:
            api_key_id = api_key_id or self.owner.mint_key(scopes=["api_keys:write"])["id"]
        endpoint_id = delivery_id = ""
        if "{webhook_endpoint_id}" in entry.path:
            endpoint_id = self.owner.create_endpoint(ENDPOINT_URL)["id"]
        if "{delivery_id}" in entry.path:
            delivery_id = self.owner.send_test_event(endpoint_id)["id"]
        return entry.path.format(
            asset_id=asset_id, api_key_id=api_key_id, webhook_endpoint_id=endpoint_id, delivery_id=delivery_id
        )


def call(project: Project, entry: Entry, path: str, credential: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return httpx.request(entry.method, project.api_url + path, headers=headers, json=BODIES.get(entry.path))


def assert_response(response: httpx.Response, status: int, code: str | None) -> None:
    if code is None:
        assert response.status_code == status, response.text
    else:
        assert_rejected(response, status, code)


def route_name(entry: Entry) -> str:
    return f"{entry.method} {entry.path}"


@pytest.fixture(scope="module")
def tenant(project: Project, module_database: Database) -> Iterator[Tenant]:
    owner = session_caller(project)
    module_database.execute("select assetdock_private.allow_produce(%s)", [owner.owner_id])
    module_database.execute(
        "insert into assetdock_private.limits (owner_id, webhook_endpoints) values (%s, 1000000)", [owner.owner_id]
    )
    tenant = Tenant(project, owner)
    for scope in SCOPES:
        tenant.keys[scope] = owner.key_holder(scopes=[scope])
    yield tenant
    for caller in (owner, *tenant.keys.values()):
        caller.http.close()


@pytest.fixture(scope="module")
def module_database(stack: Any) -> Any:
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


def test_every_private_route_is_tested_here_and_requires_an_existing_scope() -> None:
    private = {(entry.method, entry.path) for entry in PRIVATE}

    assert private == set(AUTHORIZED)
    assert {entry.access for entry in PRIVATE} <= set(SCOPES)


def test_authenticates_callers_before_a_handler_that_checks_nothing() -> None:
    async def unguarded(_: Request, principal: Principal) -> Response:
        return PlainTextResponse(f"hello {principal.owner_id}")

    class Resources:
        identified = 0

        async def identify(self, request: Request) -> Principal:
            self.identified += 1
            if "authorization" in request.headers:
                return Principal("session", "ada", "token", "session")
            raise Unauthenticated("No credential")

    entry = next(entry for entry in TABLE if entry.method == "GET" and entry.access != "public")
    app = Starlette(
        routes=routes([replace(entry, path="/unguarded", handler=unguarded)]),
        exception_handlers={ApiError: lambda _, error: PlainTextResponse(error.code, error.status)},
    )
    app.state.resources = resources = Resources()

    async def send(method: str, **headers: str) -> tuple[int, str]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            response = await client.request(method, "/unguarded", headers=headers)
            return response.status_code, response.text

    assert asyncio.run(send("GET")) == (401, "unauthenticated")
    assert asyncio.run(send("HEAD"))[0] == 401
    assert asyncio.run(send("GET", authorization="Bearer x")) == (200, "hello ada")
    assert resources.identified == 3  # once per request


@pytest.mark.parametrize("entry", PRIVATE, ids=route_name)
def test_rejects_requests_without_a_credential_before_looking_up_the_resource(tenant: Tenant, entry: Entry) -> None:
    path = entry.path.replace("{asset_id}", str(uuid.uuid4())).replace("{api_key_id}", str(uuid.uuid4()))
    path = path.replace("{webhook_endpoint_id}", str(uuid.uuid4())).replace("{delivery_id}", str(uuid.uuid4()))

    assert_rejected(call(tenant.project, entry, path, None), 401, "unauthenticated")


@pytest.mark.parametrize("entry", PRIVATE, ids=route_name)
def test_sessions_can_call_every_route(tenant: Tenant, entry: Entry) -> None:
    response = call(tenant.project, entry, tenant.path(entry), tenant.owner.credential)

    assert_response(response, *AUTHORIZED[entry.method, entry.path])


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("entry", PRIVATE, ids=route_name)
def test_keys_can_call_only_the_routes_of_their_scope(tenant: Tenant, entry: Entry, scope: str) -> None:
    response = call(tenant.project, entry, tenant.path(entry), tenant.keys[scope].credential)

    if scope == entry.access:
        assert_response(response, *AUTHORIZED[entry.method, entry.path])
    else:
        error = assert_rejected(response, 403, "insufficient_scope")
        assert entry.access in error["message"]


@pytest.mark.parametrize("entry", ASSET_ROUTES + KEY_ROUTES + ENDPOINT_ROUTES, ids=route_name)
def test_ids_of_other_owners_and_malformed_ids_are_not_found(tenant: Tenant, stranger: Caller, entry: Entry) -> None:
    others = tenant.path(entry)
    malformed = re.sub(r"\{\w+\}", "not-an-id", entry.path)

    assert_rejected(call(tenant.project, entry, others, stranger.credential), 404, "not_found")
    assert_rejected(call(tenant.project, entry, malformed, tenant.owner.credential), 404, "not_found")


@pytest.mark.parametrize("entry", [entry for entry in TABLE if entry.access == "public"], ids=route_name)
def test_public_routes_need_no_credential_and_ignore_an_invalid_one(tenant: Tenant, entry: Entry) -> None:
    path = entry.path
    if entry.path in EXAMPLES:
        path = EXAMPLES[entry.path]
    elif entry.path == "/web/{name}":  # the build generates the file name
        page = httpx.get(f"{tenant.project.api_url}/").text
        path = re.findall(r'"(/web/[^"]+)"', page)[0]

    assert "{" not in path
    assert call(tenant.project, entry, path, None).status_code == 200
    assert call(tenant.project, entry, path, "rk_live_nonsense").status_code == 200
