"""Creating, listing, rotating and revoking API keys."""

from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.gateways.results import ApiKey
from assetdock_server.identity import api_key
from assetdock_server.identity.principal import Principal
from assetdock_server.routes.fields import KeyExpiry, KeyName, Overlap, Scopes
from assetdock_server.routes.parsing import Input, idempotency_key, path_id, read_body, read_optional_body
from assetdock_server.routes.resources import resources
from assetdock_server.routes.responses import json_response

BASE = "/api/v1/api-keys"


class ApiKeyRequest(Input):
    """Body of POST /api-keys."""

    name: KeyName
    scopes: Scopes | None = None
    expires_at: KeyExpiry | None = None


class RotationRequest(Input):
    """Body of POST /api-keys/{id}/rotate, which is optional."""

    overlap_seconds: Overlap | None = None


async def create_api_key(request: Request, principal: Principal) -> Response:
    """POST /api-keys: creates a key. Only this response contains its plaintext."""
    payload = read_body(request, ApiKeyRequest)
    key = api_key.make()
    created = await resources(request).database.create_api_key(
        principal.token, payload.model_dump(mode="json", exclude_unset=True), key, idempotency_key(request)
    )
    return _created_response(created, key)


async def list_api_keys(request: Request, principal: Principal) -> Response:
    """GET /api-keys: all keys, oldest first, including revoked ones."""
    return json_response(await resources(request).database.list_api_keys(principal.token))


async def rotate_api_key(request: Request, principal: Principal) -> Response:
    """POST /api-keys/{id}/rotate: replaces a key with a new one."""
    payload = read_optional_body(request, RotationRequest)
    key = api_key.make()
    created = await resources(request).database.rotate_api_key(
        principal.token,
        path_id(request, "api_key_id"),
        payload.model_dump(exclude_none=True),
        key,
        idempotency_key(request),
    )
    return _created_response(created, key)


async def revoke_api_key(request: Request, principal: Principal) -> Response:
    """DELETE /api-keys/{id}: revokes the key. Its next request is rejected."""
    await resources(request).database.revoke_api_key(principal.token, path_id(request, "api_key_id"))
    return Response(status_code=204)


def _created_response(created: ApiKey, key: api_key.NewApiKey) -> Response:
    return json_response({**created, "plaintext": key.plaintext}, 201, {"Location": f"{BASE}/{created['id']}"})
