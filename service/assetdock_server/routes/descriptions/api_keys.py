"""Documentation of the routes in routes/api_keys.py."""

from assetdock_server.routes.api_keys import ApiKeyRequest, RotationRequest
from assetdock_server.routes.descriptions.examples import KEY, PLAINTEXT
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.api_keys import ApiKeys, NewApiKey

CREATE_API_KEY = Operation(
    id="create_api_key",
    tag="API keys",
    summary="Create an API key",
    description="A new key. `plaintext` is shown in this answer and never again. No caller can give a key a scope it "
    "lacks itself, a key that ends cannot make one that ends later, and anonymous users cannot have keys. Repeating "
    "the request with the same Idempotency-Key is `conflict`, because the plaintext cannot be shown twice.",
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
    description="All your keys, oldest first, without their secrets; revoked and expired ones, too.",
    response=ApiKeys,
    example={"items": [KEY]},
)

ROTATE_API_KEY = Operation(
    id="rotate_api_key",
    tag="API keys",
    summary="Rotate an API key",
    description="A new key with the name, scopes and expiry of an old one. The old one ends at once, or after "
    "`overlap_seconds`. A key may rotate itself; one that rotates a key which ends later than itself passes its own "
    "expiry on. The body may be left out.",
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
    description="The very next request with the key is 401, on every replica. Keys that it made (`created_by`) live "
    "on. Revoking it again is 204 as well.",
    status=204,
)
