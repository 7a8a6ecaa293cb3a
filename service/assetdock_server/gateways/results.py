"""The types of the results of database functions and of Storage. Fields that a type lacks are allowed and kept."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import BeforeValidator, Field, TypeAdapter
from typing_extensions import TypedDict

Json = dict[str, Any]


def _instant(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("no offset")
    return instant


Instant = Annotated[datetime, BeforeValidator(_instant)]


class Asset(TypedDict):
    """An asset without its download URL."""

    id: str
    type: str
    state: str
    size_bytes: int | None
    content_type: str | None
    duration_seconds: str | None
    created_at: str
    filename: str | None
    metadata: Json
    source_asset_id: str | None
    error_code: str | None
    error_message: str | None
    media: Json | None
    ready_at: str | None
    deleted_at: str | None


class Reservation(TypedDict):
    """An asset that accepts bytes."""

    asset: Asset
    bucket: str
    object_name: str
    upload_expires_at: Instant


class LandedReservation(TypedDict):
    """The result of a repeated request after the bytes have landed."""

    asset: Asset
    upload_expires_at: None


class AssetPage(TypedDict):
    """A page of assets."""

    items: list[Asset]
    limit: int
    next_cursor: str | None
    total: NotRequired[int]


class ApiKey(TypedDict):
    """An API key without its plaintext."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    created_by: str


class KeyOwner(TypedDict):
    """The result of resolve_api_key."""

    api_key_id: str
    owner_id: str
    prefix: str


class WebhookEndpoint(TypedDict):
    """A webhook endpoint without its secret."""

    id: str
    url: str
    event_types: list[str]
    description: str | None
    state: str
    created_at: str
    failing_since: str | None
    disabled_at: str | None
    disabled_reason: str | None


class RotatedSecret(TypedDict):
    """The result of rotate_webhook_secret."""

    webhook_endpoint: WebhookEndpoint
    previous_secret_expires_at: str | None


class WebhookDelivery(TypedDict):
    """A delivery."""

    id: str
    event_type: str
    asset_id: str | None
    state: str
    created_at: str
    attempts: int
    last_attempt_at: str | None
    next_attempt_at: str | None
    delivered_at: str | None
    response_status: int | None
    duration_ms: int | None
    error: str | None


class WebhookDeliveryPage(TypedDict):
    """A page of deliveries."""

    items: list[WebhookDelivery]
    limit: int
    next_cursor: str | None


class AssetEvents(TypedDict):
    """All changes of an asset's state."""

    items: list[Json]


class ApiKeys(TypedDict):
    """All API keys of an owner."""

    items: list[ApiKey]


class WebhookEndpoints(TypedDict):
    """All webhook endpoints of an owner."""

    items: list[WebhookEndpoint]


class OpenJobs(TypedDict):
    """The open jobs of one kind."""

    kind: str
    available: int
    leased: int
    scheduled: int
    oldest_seconds: float
    attempts: int
    postponed: int


class QueueStats(TypedDict):
    """The result of queue_stats. `dead` has the number of dead jobs of each kind."""

    open: list[OpenJobs]
    dead: dict[str, int]


class SignedUpload(TypedDict):
    """Storage's response to a request for an upload URL."""

    url: str


class SignedDownload(TypedDict):
    """Storage's response to a request for a download URL."""

    signedURL: str


class KeySet(TypedDict):
    """A JWKS (RFC 7517, section 5)."""

    keys: list[Any]


NOTHING: TypeAdapter[None] = TypeAdapter(None)
ASSET = TypeAdapter(Asset)
RESERVATION = TypeAdapter(Reservation)
# The frequent type first, and the second only if the first fails: half the time of comparing how well both match.
REPEATED_RESERVATION: TypeAdapter[Reservation | LandedReservation] = TypeAdapter(
    Annotated[Reservation | LandedReservation, Field(union_mode="left_to_right")]
)
ASSET_PAGE = TypeAdapter(AssetPage)
ASSET_EVENTS = TypeAdapter(AssetEvents)
API_KEY = TypeAdapter(ApiKey)
API_KEYS = TypeAdapter(ApiKeys)
KEY_OWNER = TypeAdapter(KeyOwner)
WEBHOOK_ENDPOINT = TypeAdapter(WebhookEndpoint)
WEBHOOK_ENDPOINTS = TypeAdapter(WebhookEndpoints)
ROTATED_SECRET = TypeAdapter(RotatedSecret)
WEBHOOK_DELIVERY = TypeAdapter(WebhookDelivery)
WEBHOOK_DELIVERY_PAGE = TypeAdapter(WebhookDeliveryPage)
IDS = TypeAdapter(list[str])
QUEUE_STATS = TypeAdapter(QueueStats)
PONG: TypeAdapter[Literal[True]] = TypeAdapter(Literal[True])
SIGNED_UPLOAD = TypeAdapter(SignedUpload)
SIGNED_DOWNLOAD = TypeAdapter(SignedDownload)
REMOVED_OBJECTS = TypeAdapter(list[Json])
KEY_SET = TypeAdapter(KeySet)
