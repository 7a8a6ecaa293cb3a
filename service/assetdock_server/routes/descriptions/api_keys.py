"""Documentation of the routes in routes/api_keys.py."""

from assetdock_server.routes.api_keys import ApiKeyRequest, RotationRequest
from assetdock_server.routes.descriptions.examples import KEY, PLAINTEXT
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.api_keys import ApiKeys, NewApiKey

CREATE_API_KEY = Operation(
    id="create_api_key",
    tag="API keys",
    summary="Create an API key",
    description="Creates a key. Only this response contains its `plaintext`: store it now. A caller can grant only "
    "scopes that it has itself. A key with an expiry cannot create a key that expires later. Anonymous users cannot "
    "create keys. A repeated request with the same Idempotency-Key fails with `conflict`, because the plaintext is "
    "not stored.",
    status=201,
    response=NewApiKey,
    example={**KEY, "plaintext": PLAINTEXT},
    body=ApiKeyRequest,
    body_example={"name": "ci", "scopes": ["assets:read", "assets:write"]},
    takes_idempotency_key=True,
    has_location=True,
    creates=("api_key_id", "/id"),
    errors=("forbidden", "conflict"),
)

LIST_API_KEYS = Operation(
    id="list_api_keys",
    tag="API keys",
    summary="List API keys",
    description="Returns all your keys without their secrets, oldest first, including revoked and expired keys.",
    response=ApiKeys,
    example={"items": [KEY]},
)

ROTATE_API_KEY = Operation(
    id="rotate_api_key",
    tag="API keys",
    summary="Rotate an API key",
    description="Creates a key with the name, scopes and expiry of an existing key. The existing key expires at once, "
    "or after `overlap_seconds`. A key can rotate itself. If the calling key expires before the rotated key, the new "
    "key gets the expiry of the calling key. The body is optional.",
    status=201,
    response=NewApiKey,
    example={**KEY, "plaintext": PLAINTEXT},
    body=RotationRequest,
    body_required=False,
    body_example={"overlap_seconds": 3600},
    takes_idempotency_key=True,
    has_location=True,
    creates=("api_key_id", "/id"),
    errors=("conflict",),
)

REVOKE_API_KEY = Operation(
    id="revoke_api_key",
    tag="API keys",
    summary="Revoke an API key",
    description="Revokes a key at once, on every replica: its next request gets 401. Keys that it created "
    "(`created_by`) stay valid. Revoking a revoked key also returns 204.",
    status=204,
)
