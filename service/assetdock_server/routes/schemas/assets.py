"""Assets, their media, and their history."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from assetdock_server.media.verdict import AssetType
from assetdock_server.media.verdict import ErrorCode as FailureCode
from assetdock_server.routes.schemas.types import Count, Decimals, Id, Instant, Schema, Url, without_default

AssetState = Literal["pending_upload", "processing", "ready", "failed", "expired", "deleted"]


def language() -> Any:
    """The field for the language of a stream."""
    return Field(
        default=None,
        description="The language tag in the file, usually of ISO 639-2. Absent without one.",
        json_schema_extra=without_default,
    )


class VideoStream(Schema):
    """A video stream."""

    kind: Literal["video"]
    codec: str
    width: Count | None = Field(description="Pixels.")
    height: Count | None = Field(description="Pixels.")
    frame_rate: Decimals | None = Field(description="Frames per second.")
    rotation: int | SkipJsonSchema[None] = Field(
        default=None,
        description="Degrees by which to rotate the picture clockwise for display. Absent for 0.",
        json_schema_extra=without_default,
    )
    display_width: Count | None = Field(description="Pixels, after the rotation.")
    display_height: Count | None = Field(description="Pixels, after the rotation.")
    hdr: bool = Field(description="Whether the picture has a high dynamic range (PQ or HLG).")
    bit_rate: Count | None = Field(description="Bits per second.")
    language: str | SkipJsonSchema[None] = language()


class AudioStream(Schema):
    """An audio stream."""

    kind: Literal["audio"]
    codec: str
    channels: Count | None
    channel_layout: str | None = Field(description="As ffprobe names it: `mono`, `stereo`, `5.1`.")
    sample_rate: Count | None = Field(description="Hertz.")
    bit_rate: Count | None = Field(description="Bits per second.")
    language: str | SkipJsonSchema[None] = language()


class OtherStream(Schema):
    """A stream that is neither audio nor video: subtitles, cover art, timecodes."""

    kind: Literal["subtitle", "data"]
    codec: str
    language: str | SkipJsonSchema[None] = language()


Stream = Annotated[VideoStream | AudioStream | OtherStream, Field(discriminator="kind")]


class Media(Schema):
    """The properties that ffprobe read from the file."""

    container: str = Field(description="A short name: mp3, wav, mp4, webm, srt …")
    bit_rate: Count | None = Field(description="Bits per second of the whole file.")
    streams: list[Stream]


class AssetSummary(Schema):
    """An asset. Until its bytes land, `size_bytes` is the value of the reservation."""

    id: Id = Field(description="A UUIDv7 that the database creates.")
    type: AssetType
    state: AssetState
    size_bytes: Count | None
    content_type: str | None = Field(
        description="What the bytes are, such as `audio/mpeg`. Until the file is read, the declared type."
    )
    declared_content_type: str | None = Field(
        description="The media type of the reservation, or else of the upload. `content_type` corrects a wrong one."
    )
    duration_seconds: Decimals | None = Field(
        description="Seconds with three decimal places, measured from the file's bytes."
    )
    created_at: Instant = Field(description="The timestamp that `id` contains.")
    filename: str | None
    metadata: dict[str, str]
    source_asset_id: Id | None
    error_code: FailureCode | None = Field(description="Why the asset is `failed`.")
    error_message: str | None = Field(description="A sentence that explains `error_code`, for people.")
    media: Media | None
    ready_at: Instant | None
    deleted_at: Instant | None


class Asset(AssetSummary):
    """An asset with its download URL."""

    download_url: Url | None = Field(description="A signed URL; it needs no credential. Null unless `ready`.")
    download_expires_at: Instant | None


class AssetPage(Schema):
    """A page of assets, newest first."""

    items: list[AssetSummary]
    limit: int
    next_cursor: str | None = Field(description="Send it as `cursor` to get the next page. Null on the last page.")
    total: int | SkipJsonSchema[None] = Field(
        default=None, description="Only with `include_total`.", json_schema_extra=without_default
    )


class AssetEvent(Schema):
    """One change of an asset's state."""

    from_: AssetState | None = Field(alias="from", description="Null when the asset was reserved.")
    to: AssetState
    at: Instant
    actor: str = Field(description="`session`, the prefix of an API key, `worker` or `system`.")
    reason: str


class AssetHistory(Schema):
    """All changes of an asset's state, oldest first."""

    items: list[AssetEvent]
