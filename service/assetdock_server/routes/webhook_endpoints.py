"""Webhook endpoints and their deliveries."""

from starlette.requests import Request
from starlette.responses import Response

from assetdock_server.identity.principal import Principal
from assetdock_server.routes.fields import (
    Cursor,
    DeliveryPageSize,
    EndpointDescription,
    EventTypes,
    SecretOverlap,
    WebhookUrl,
)
from assetdock_server.routes.parsing import Input, idempotency_key, path_id, read_body, read_optional_body, read_query
from assetdock_server.routes.resources import resources
from assetdock_server.routes.responses import json_response
from assetdock_server.webhooks import secret as webhook_secret

BASE = "/api/v1/webhook-endpoints"
ENDPOINT = "webhook_endpoint_id"


class WebhookEndpointRequest(Input):
    """Body of POST /webhook-endpoints."""

    url: WebhookUrl
    event_types: EventTypes
    description: EndpointDescription | None = None


class SecretRotationRequest(Input):
    """Body of POST /webhook-endpoints/{id}/rotate-secret, which is optional."""

    overlap_seconds: SecretOverlap | None = None


class DeliveryQuery(Input):
    """Query of GET /webhook-endpoints/{id}/deliveries."""

    limit: DeliveryPageSize | None = None
    cursor: Cursor | None = None


async def create_webhook_endpoint(request: Request, principal: Principal) -> Response:
    """POST /webhook-endpoints: creates an endpoint. Only this response contains its secret."""
    payload = read_body(request, WebhookEndpointRequest)
    secret = webhook_secret.make()
    created = await resources(request).database.create_webhook_endpoint(
        principal.token, payload.model_dump(exclude_none=True), secret, idempotency_key(request)
    )
    return json_response({**created, "secret": secret}, 201, {"Location": f"{BASE}/{created['id']}"})


async def list_webhook_endpoints(request: Request, principal: Principal) -> Response:
    """GET /webhook-endpoints: all endpoints, oldest first, including disabled ones."""
    return json_response(await resources(request).database.list_webhook_endpoints(principal.token))


async def get_webhook_endpoint(request: Request, principal: Principal) -> Response:
    """GET /webhook-endpoints/{id}: get the endpoint."""
    return json_response(
        await resources(request).database.get_webhook_endpoint(principal.token, path_id(request, ENDPOINT))
    )


async def delete_webhook_endpoint(request: Request, principal: Principal) -> Response:
    """DELETE /webhook-endpoints/{id}: deletes the endpoint and stops its deliveries."""
    await resources(request).database.delete_webhook_endpoint(principal.token, path_id(request, ENDPOINT))
    return Response(status_code=204)


async def rotate_webhook_secret(request: Request, principal: Principal) -> Response:
    """POST /webhook-endpoints/{id}/rotate-secret: creates a secret. Both secrets sign during the overlap."""
    payload = read_optional_body(request, SecretRotationRequest)
    secret = webhook_secret.make()
    rotated = await resources(request).database.rotate_webhook_secret(
        principal.token,
        path_id(request, ENDPOINT),
        payload.model_dump(exclude_none=True),
        secret,
        idempotency_key(request),
    )
    expires_at = rotated["previous_secret_expires_at"]
    return json_response({**rotated["webhook_endpoint"], "secret": secret, "previous_secret_expires_at": expires_at})


async def test_webhook_endpoint(request: Request, principal: Principal) -> Response:
    """POST /webhook-endpoints/{id}/test: queues one delivery of webhook.test."""
    delivery = await resources(request).database.test_webhook_endpoint(
        principal.token, path_id(request, ENDPOINT), idempotency_key(request)
    )
    return json_response(delivery, 202)


async def list_webhook_deliveries(request: Request, principal: Principal) -> Response:
    """GET /webhook-endpoints/{id}/deliveries: list a page of deliveries, newest first."""
    query = read_query(request, DeliveryQuery)
    return json_response(
        await resources(request).database.list_webhook_deliveries(
            principal.token, path_id(request, ENDPOINT), query.model_dump(exclude_none=True)
        )
    )


async def replay_webhook_delivery(request: Request, principal: Principal) -> Response:
    """POST /webhook-endpoints/{id}/deliveries/{id}/replay: queues the delivery again."""
    delivery = await resources(request).database.replay_webhook_delivery(
        principal.token, path_id(request, ENDPOINT), path_id(request, "delivery_id")
    )
    return json_response(delivery, 202)
