"""The fields of requests. The types of parsing.py check their form; the database checks their rules.

The rules are repeated here only for the OpenAPI document (WithJsonSchema checks nothing). A test compares each
rule with the values that the database accepts and rejects at its limits.
"""

from typing import Annotated, Any, get_args

from annotated_types import Len
from pydantic import WithJsonSchema

from assetdock_server.media.verdict import AssetType as AssetTypeName
from assetdock_server.routes.parsing import Id, Instant, Int32, Int64, Text
from assetdock_server.routes.schemas.api_keys import Scope
from assetdock_server.routes.schemas.assets import AssetState
from assetdock_server.routes.schemas.webhook_endpoints import EventType

SCOPES: tuple[str, ...] = get_args(Scope)
TYPES: tuple[str, ...] = get_args(AssetTypeName)
STATES: tuple[str, ...] = get_args(AssetState)
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
DEPRECATED_TYPES = ("audio_input", "video_input")
NO_CONTROL_CHARACTERS = r"[^\u0000-\u001f\u007f-\u009f]"


def _string(**rules: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **rules})


def _integer(minimum: int, maximum: int | None = None, **rules: Any) -> WithJsonSchema:
    limits = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}
    return WithJsonSchema({"type": "integer", **limits, **rules})


AssetType = Annotated[
    Text,
    _string(
        enum=[*TYPES, *DEPRECATED_TYPES],
        description="The type of the asset. `rendered_video` and `cut_file` are created by processors and need the "
        "scope `assets:produce`. `audio_input` and `video_input` are deprecated names of `audio` and `video`.",
    ),
]
ContentType = Annotated[
    Text,
    _string(
        minLength=0,
        maxLength=255,
        pattern=r"^[\t -~]*$",
        description="The media type of the file, such as `audio/mpeg`: one of those in /docs/formats.md. Parameters "
        "and letter case do not matter. Storage rejects an upload with another type. Empty counts as not sent.",
    ),
]
Filename = Annotated[
    Text,
    _string(
        minLength=1,
        maxLength=255,
        pattern=f"^{NO_CONTROL_CHARACTERS}*$",
        description="Stored and returned unchanged; it is not the name in Storage. No control characters.",
    ),
]
Size = Annotated[
    Int64,
    _integer(
        1, 2**63 - 1, format="int64", description="The size of the file in bytes. Storage rejects any other size."
    ),
]
Sha256 = Annotated[
    Text,
    _string(
        pattern="^[0-9A-Fa-f]{64}$",
        description="The SHA-256 of the file in hexadecimal. If the file has another SHA-256, its bytes land, but the "
        "asset becomes `failed` with `checksum_mismatch`.",
    ),
]
MetadataText = Annotated[Text, _string(pattern=r"^[^\u0000]*$")]
Metadata = Annotated[
    dict[Text, MetadataText],
    Len(max_length=1000),  # the database allows 4 KiB of JSON, which cannot hold more entries
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": r"^[^\u0000]*$"},
            "additionalProperties": {"type": "string", "pattern": r"^[^\u0000]*$"},
            "description": "Your own data: an object of strings, at most 4096 bytes as JSON.",
        }
    ),
]
UploadWindow = Annotated[
    Int32,
    _integer(60, 7200, default=900, description="The upload must start within this number of seconds."),
]
SourceAssetId = Annotated[
    Id,
    _string(
        format="uuid",
        description="Your asset from which this asset was created. Only for `rendered_video` and `cut_file`.",
    ),
]
KeyName = Annotated[
    Text,
    _string(
        minLength=1,
        maxLength=120,
        pattern=rf"^{NO_CONTROL_CHARACTERS}*[^\s\u0000-\u001f\u007f-\u009f]{NO_CONTROL_CHARACTERS}*$",
        description="A name to recognize the key. No control characters, and not only spaces.",
    ),
]
Scopes = Annotated[
    list[Text],
    Len(max_length=16),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "maxItems": 16,
            "items": {"type": "string", "enum": list(SCOPES)},
            "description": "The permissions of the key, a subset of the caller's. Default: `assets:read` and "
            "`assets:write`.",
        }
    ),
]
KeyExpiry = Annotated[
    Instant,
    _string(
        format="date-time", description="When the key expires: a future time in RFC 3339 with an offset. Null: never."
    ),
]
Overlap = Annotated[
    Int32,
    _integer(0, 604800, default=0, description="Seconds for which the old key stays valid."),
]
Wait = Annotated[
    Int32,
    _integer(
        0,
        30,
        default=0,
        description="The longest time in seconds to wait while the asset is `pending_upload` or `processing`.",
    ),
]
PageSize = Annotated[Int32, _integer(1, 100, default=20, description="The number of assets on a page.")]
Cursor = Annotated[
    Text, _string(pattern="^[A-Za-z0-9_-]{32}$", description="The `next_cursor` of the previous page, unchanged.")
]
StateFilter = Annotated[
    Text,
    _string(enum=list(STATES), description="Only assets in this state. Deleted assets are listed only with `deleted`."),
]
TypeFilter = Annotated[Text, _string(enum=[*TYPES, *DEPRECATED_TYPES], description="Only assets of this type.")]
IncludeTotal = Annotated[
    bool,
    WithJsonSchema(
        {
            "type": "boolean",
            "default": False,
            "description": "Adds `total`, the number of all matching assets. The more assets match, the slower the "
            "response.",
        }
    ),
]
WebhookUrl = Annotated[
    Text,
    _string(
        maxLength=2048,
        minLength=9,
        pattern=r"^[hH][tT][tT][pP][sS]://[0-9a-zA-Z]([0-9a-zA-Z.-]*[0-9a-zA-Z])?"
        r"([/?]([0-9a-zA-Z._~!$&'()*+,;=:@/?-]|%[0-9a-fA-F]{2})*)?$",
        description="An https URL (RFC 3986) of a public address, without user, password or fragment. It may contain "
        "a port, or an IPv6 address in brackets.",
    ),
]
EventTypes = Annotated[
    list[Text],
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "enum": list(EVENT_TYPES)},
            "description": "Event types to subscribe to.",
        }
    ),
]
EndpointDescription = Annotated[
    Text,
    _string(
        minLength=0,
        maxLength=255,
        pattern=f"^{NO_CONTROL_CHARACTERS}*$",
        description="Your own note. No control characters.",
    ),
]
SecretOverlap = Annotated[
    Int32,
    _integer(0, 604800, default=86400, description="Seconds for which deliveries are also signed with the old secret."),
]
DeliveryPageSize = Annotated[Int32, _integer(1, 100, default=20, description="The number of deliveries on a page.")]
