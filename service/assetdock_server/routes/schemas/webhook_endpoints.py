"""Webhook endpoints and deliveries."""

from typing import Annotated, Literal

from pydantic import Field

from assetdock_server.routes.schemas.types import Count, Id, Instant, Schema, Url, text

EventType = Literal["asset.processing", "asset.ready", "asset.failed", "asset.expired", "asset.deleted"]


class WebhookEndpoint(Schema):
    """A URL that receives events, without its secret."""

    id: Id
    url: Url
    event_types: list[EventType]
    description: str | None
    state: Literal["enabled", "disabled"] = Field(description="A disabled endpoint receives only test events.")
    created_at: Instant
    failing_since: Instant | None = Field(description="The time since which every delivery has failed.")
    disabled_at: Instant | None
    disabled_reason: Literal["gone", "failing"] | None = Field(
        description="`gone`: the endpoint responded with 410. `failing`: every delivery failed for too long."
    )


class NewWebhookEndpoint(WebhookEndpoint):
    """A new endpoint. Only this response contains `secret`."""

    secret: Annotated[str, text("^whsec_[A-Za-z0-9+/]+=*$")]


class RotatedWebhookEndpoint(NewWebhookEndpoint):
    """An endpoint with its new secret. Only this response contains `secret`."""

    previous_secret_expires_at: Instant | None = Field(
        description="Until then, deliveries are also signed with the previous secret."
    )


class WebhookEndpoints(Schema):
    """All webhook endpoints, oldest first."""

    items: list[WebhookEndpoint]


class WebhookDelivery(Schema):
    """One event for one endpoint. The results of the last attempt are null before the first attempt."""

    id: Id = Field(description="The header `webhook-id` of every attempt.")
    event_type: EventType | Literal["webhook.test"]
    asset_id: Id | None
    state: Literal["pending", "delivered", "failed"]
    created_at: Instant
    attempts: Count
    last_attempt_at: Instant | None
    next_attempt_at: Instant | None = Field(description="Null unless `pending`.")
    delivered_at: Instant | None
    response_status: int | None
    duration_ms: Count | None
    error: str | None


class WebhookDeliveries(Schema):
    """A page of deliveries, newest first."""

    items: list[WebhookDelivery]
    limit: int
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page. Null on the last page.")
