"""The answers, as models. The database and the worker write them; a test validates every one against these.

Unknown keys are an error here, so that none goes undocumented, but not in the published schema: a client has to be
ready for fields that come later.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

Json = dict[str, Any]


def _open(schema: Json) -> None:
    schema.pop("additionalProperties", None)


def _without_default(schema: Json) -> None:
    schema.pop("default", None)


class Shape(BaseModel):
    """A JSON object in an answer. Keys are always there unless their description says otherwise."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra=_open)


def _text(pattern: str, **said: Any) -> Any:
    return Field(pattern=pattern, json_schema_extra=said)


UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Id = Annotated[str, _text(UUID, format="uuid")]
Instant = Annotated[str, _text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z$", format="date-time")]
Decimals = Annotated[str, _text(r"^[0-9]+\.[0-9]{3}$")]
Url = Annotated[str, _text(r"^[hH][tT][tT][pP][sS]?://", format="uri")]
Prefix = Annotated[str, _text(r"^rk_live_[0-9A-Za-z]{8}$")]
Plaintext = Annotated[str, _text(r"^rk_live_[0-9A-Za-z]{46}$")]
Count = Annotated[int, Field(ge=0)]

AssetType = Literal["audio", "video", "rendered_video", "cut_file"]
State = Literal["pending_upload", "processing", "ready", "failed", "expired", "deleted"]
FailureCode = Literal[
    "unreadable_media", "no_media_stream", "type_mismatch", "content_type_mismatch", "checksum_mismatch",
    "probe_timeout", "probe_crashed", "bytes_missing",
]  # fmt: skip
Scope = Literal[
    "assets:read", "assets:write", "assets:produce", "api_keys:read", "api_keys:write", "webhooks:read",
    "webhooks:write",
]  # fmt: skip


class VideoStream(Shape):
    """A track of moving pictures."""

    kind: Literal["video"]
    codec: str
    width: Count | None = Field(description="Pixels.")
    height: Count | None = Field(description="Pixels.")
    frame_rate: Decimals | None = Field(description="Pictures a second.")
    rotation: int | SkipJsonSchema[None] = Field(
        default=None,
        description="Degrees clockwise to turn the picture for display; absent when it is upright.",
        json_schema_extra=_without_default,
    )
    bit_rate: Count | None = Field(description="Bits a second.")


class AudioStream(Shape):
    """A track of sound."""

    kind: Literal["audio"]
    codec: str
    channels: Count | None
    sample_rate: Count | None = Field(description="Hertz.")
    bit_rate: Count | None = Field(description="Bits a second.")


class OtherStream(Shape):
    """A track that is neither: subtitles, cover art, timecodes."""

    kind: Literal["subtitle", "data"]
    codec: str


Stream = Annotated[VideoStream | AudioStream | OtherStream, Field(discriminator="kind")]


class Media(Shape):
    """What ffprobe read off the bytes."""

    container: str = Field(description="A short name: mp3, wav, mp4, webm, srt …")
    bit_rate: Count | None = Field(description="Bits a second, over the whole file.")
    streams: list[Stream]


class AssetSummary(Shape):
    """An asset. Until its bytes land, `size_bytes` and `content_type` are what was reserved."""

    id: Id = Field(description="A UUIDv7, made by the database.")
    type: AssetType
    state: State
    size_bytes: Count | None
    content_type: str | None
    duration_seconds: Decimals | None = Field(description="Seconds with three decimal places, measured by ffprobe.")
    created_at: Instant = Field(description="The instant inside `id`.")
    filename: str | None
    metadata: dict[str, str]
    source_asset_id: Id | None
    error_code: FailureCode | None = Field(description="Why the asset is `failed`.")
    error_message: str | None = Field(description="The same as a sentence for people.")
    media: Media | None
    ready_at: Instant | None
    deleted_at: Instant | None


class Asset(AssetSummary):
    """An asset, with where its bytes can be read."""

    download_url: Url | None = Field(description="Needs no other credential. Null unless the asset is `ready`.")
    download_expires_at: Instant | None


class ResumableUpload(Shape):
    """The same upload in parts, which can go on after a broken connection."""

    protocol: Literal["tus"]
    version: Literal["1.0.0"]
    url: Url
    headers: dict[str, str] = Field(description="Send them unchanged with every request.")
    metadata: dict[str, str] = Field(description="Send it unchanged: the type binds here, too.")
    chunk_size: int = Field(description="Bytes of every part but the last.")


class UploadTargetResponse(Shape):
    """How to push the bytes: one request with this method, to this URL, with these headers; or, with a TUS client, in
    parts."""

    method: Literal["PUT"]
    url: Url = Field(description="Signed: needs no other credential, and works for one upload.")
    headers: dict[str, str] = Field(description="Send them unchanged.")
    expires_at: Instant = Field(description="The upload has to start before.")
    resumable: ResumableUpload


class Reservation(Shape):
    """An asset that waits for its bytes, and how to push them."""

    asset: AssetSummary
    upload: UploadTargetResponse | None = Field(
        description="Null only when a repeated request (Idempotency-Key) finds that the bytes have landed."
    )


class AssetPage(Shape):
    """A page of assets, newest first."""

    items: list[AssetSummary]
    limit: int
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page. Null on the last one.")
    total: int | SkipJsonSchema[None] = Field(
        default=None, description="Only with `include_total`.", json_schema_extra=_without_default
    )


class AssetEvent(Shape):
    """One change of an asset's state."""

    from_: State | None = Field(alias="from", description="Null for its reservation.")
    to: State
    at: Instant
    actor: str = Field(description="`session`, the prefix of an API key, `worker` or `system`.")
    reason: str


class AssetHistory(Shape):
    """Everything that happened to an asset, in order."""

    items: list[AssetEvent]


class ApiKey(Shape):
    """An API key, without its secret."""

    id: Id
    name: str
    prefix: Prefix = Field(description="The public beginning of the key.")
    scopes: list[Scope]
    created_at: Instant
    expires_at: Instant | None
    last_used_at: Instant | None = Field(description="At most a minute old.")
    revoked_at: Instant | None
    created_by: str = Field(description="`session`, or the prefix of the key that made or rotated this one.")


class NewApiKey(ApiKey):
    """A new API key. `plaintext` is shown this once and kept nowhere."""

    plaintext: Plaintext


class ApiKeys(Shape):
    """All API keys, oldest first, revoked ones too."""

    items: list[ApiKey]


class Health(Shape):
    """The process lives."""

    status: Literal["ok"]


CheckState = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "description": "`ok`, or the code of what is wrong; `stale` for signing keys that cannot be fetched "
            "any more while the last ones are in force.",
        }
    ),
]


class Checks(Shape):
    """Each server behind this one."""

    database: CheckState
    storage: CheckState
    signing_keys: CheckState


class ReadinessReport(Shape):
    """Whether this process can work."""

    status: Literal["ok", "unavailable"]
    checks: Checks


class InvalidField(Shape):
    """One wrong input."""

    field: str = Field(description="Where it stands: `body.type`, `query.limit`, `header.idempotency-key`.")
    message: str = Field(description="What would be right.")


class ErrorBody(Shape):
    """What happened, and what to do next."""

    code: str = Field(description="For programs. It never changes its meaning.")
    message: str = Field(description="For people. It may be reworded.")
    fields: list[InvalidField] | SkipJsonSchema[None] = Field(
        default=None, description="Only with `validation_error`.", json_schema_extra=_without_default
    )


class ErrorResponse(Shape):
    """Every error, whatever refused."""

    error: ErrorBody
    request_id: str = Field(description="That of the header X-Request-Id. Name it when you report a problem.")


EventType = Literal["asset.processing", "asset.ready", "asset.failed", "asset.expired", "asset.deleted"]


class WebhookEndpoint(Shape):
    """A URL that is told of changes of assets, without its secret."""

    id: Id
    url: Url
    event_types: list[EventType]
    description: str | None
    state: Literal["enabled", "disabled"] = Field(description="Nothing but tests is sent to a disabled one.")
    created_at: Instant
    failing_since: Instant | None = Field(description="Since when nothing sent there succeeded.")
    disabled_at: Instant | None
    disabled_reason: Literal["gone", "failing"] | None = Field(
        description="`gone`: it answered 410; `failing`: nothing succeeded for too long."
    )


class NewWebhookEndpoint(WebhookEndpoint):
    """A new endpoint. `secret` is shown this once."""

    secret: Annotated[str, _text("^whsec_[A-Za-z0-9+/]+=*$")]


class RotatedWebhookEndpoint(NewWebhookEndpoint):
    """An endpoint with its new secret, which is shown this once."""

    previous_secret_expires_at: Instant | None = Field(description="Until then the old secret signs, too.")


class WebhookEndpoints(Shape):
    """All webhook endpoints, oldest first."""

    items: list[WebhookEndpoint]


class WebhookDelivery(Shape):
    """One event on its way to one endpoint. What the last attempt came to is null before the first."""

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


class WebhookDeliveries(Shape):
    """A page of deliveries, newest first."""

    items: list[WebhookDelivery]
    limit: int
    next_cursor: str | None = Field(description="Give it back as `cursor` for the next page. Null on the last one.")
