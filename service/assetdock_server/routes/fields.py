"""The fields of requests: their form is judged by the types of parsing.py, their rules by the database.

The rules stand here once more for the OpenAPI document only (WithJsonSchema checks nothing). A test holds every one of
them to what the database refuses just outside of it and accepts at its edge.
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
CONTENT_TYPE = (
    r"^([aA][uU][dD][iI][oO]|[vV][iI][dD][eE][oO]|[aA][pP][pP][lL][iI][cC][aA][tT][iI][oO][nN]|[tT][eE][xX][tT])"
    r"/[A-Za-z0-9!#$&^_.+-]+([ \t]*;.*)?$"
)


def _string(**rules: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **rules})


def _integer(minimum: int, maximum: int | None = None, **rules: Any) -> WithJsonSchema:
    limits = {"minimum": minimum} if maximum is None else {"minimum": minimum, "maximum": maximum}
    return WithJsonSchema({"type": "integer", **limits, **rules})


AssetType = Annotated[
    Text,
    _string(
        enum=[*TYPES, *DEPRECATED_TYPES],
        description="What the file is. `rendered_video` and `cut_file` are made by processors and need the scope "
        "`assets:produce`. `audio_input` and `video_input` are deprecated spellings of `audio` and `video`.",
    ),
]
ContentType = Annotated[
    Text,
    _string(
        minLength=1,
        maxLength=255,
        pattern=CONTENT_TYPE,
        description="The media type of the bytes, such as `audio/mpeg`, with or without parameters. Binding: Storage "
        "refuses a PUT with another one. Audio, video, and the few `application/` types that hold them; for "
        "`cut_file` those of SubRip, too.",
    ),
]
Filename = Annotated[
    Text,
    _string(
        minLength=1,
        maxLength=255,
        pattern=f"^{NO_CONTROL_CHARACTERS}*$",
        description="Kept for you and shown again; it names nothing in Storage. No control characters.",
    ),
]
Size = Annotated[
    Int64,
    _integer(1, 2**63 - 1, format="int64", description="The exact size of the file. Binding: other bytes are refused."),
]
Sha256 = Annotated[
    Text,
    _string(
        pattern="^[0-9A-Fa-f]{64}$",
        description="The SHA-256 of the file in hexadecimal. Other bytes land, but the asset ends as `failed` with "
        "`checksum_mismatch`.",
    ),
]
MetadataText = Annotated[Text, _string(pattern=r"^[^\u0000]*$")]
Metadata = Annotated[
    dict[Text, MetadataText],
    Len(max_length=1000),  # 4 KiB of JSON, which the database allows, hold no more than this many
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": r"^[^\u0000]*$"},
            "additionalProperties": {"type": "string", "pattern": r"^[^\u0000]*$"},
            "description": "Yours: strings by name, at most 4096 bytes as JSON.",
        }
    ),
]
WindowSeconds = Annotated[
    Int32,
    _integer(60, 7200, default=900, description="Seconds within which the upload must start; 900 when left out."),
]
SourceAssetId = Annotated[
    Id,
    _string(
        format="uuid",
        description="The asset that this one was made from: one of yours. Only for `rendered_video` and `cut_file`.",
    ),
]
KeyName = Annotated[
    Text,
    _string(
        minLength=1,
        maxLength=120,
        pattern=rf"^{NO_CONTROL_CHARACTERS}*[^\s\u0000-\u001f\u007f-\u009f]{NO_CONTROL_CHARACTERS}*$",
        description="By which you tell your keys apart. No control characters, and not only spaces.",
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
            "description": "What the key may do: no more than the caller may. `assets:read` and `assets:write` when "
            "left out.",
        }
    ),
]
KeyEnd = Annotated[
    Instant,
    _string(format="date-time", description="When the key ends, in the future. RFC 3339 with an offset. Null: never."),
]
Overlap = Annotated[
    Int32,
    _integer(0, 604800, default=0, description="Seconds for which the old key still works; 0 when left out."),
]
Wait = Annotated[
    Int32,
    _integer(
        0,
        30,
        default=0,
        description="Seconds to hold the answer while the asset is `pending_upload` or `processing`.",
    ),
]
PageSize = Annotated[Int32, _integer(1, 100, default=20, description="How many assets a page holds.")]
Cursor = Annotated[
    Text, _string(pattern="^[A-Za-z0-9_-]{32}$", description="The `next_cursor` of the page before, unchanged.")
]
StateFilter = Annotated[
    Text,
    _string(enum=list(STATES), description="Only assets in this state. Deleted ones are listed only when asked for."),
]
TypeFilter = Annotated[Text, _string(enum=[*TYPES, *DEPRECATED_TYPES], description="Only assets of this type.")]
WithTotal = Annotated[
    bool,
    WithJsonSchema(
        {
            "type": "boolean",
            "default": False,
            "description": "Adds `total`, the number of all assets that match. It costs time in proportion.",
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
        description="An https URL (RFC 3986) that leads to a public address, without user, password or fragment. A "
        "port and an IPv6 address in brackets are taken, too.",
    ),
]
EventTypes = Annotated[
    list[Text],
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "enum": list(EVENT_TYPES)},
            "description": "What to be told of.",
        }
    ),
]
EndpointDescription = Annotated[
    Text,
    _string(
        minLength=0,
        maxLength=255,
        pattern=f"^{NO_CONTROL_CHARACTERS}*$",
        description="For you. No control characters.",
    ),
]
SecretOverlap = Annotated[
    Int32,
    _integer(
        0, 604800, default=86400, description="Seconds for which the old secret still signs, too; a day when left out."
    ),
]
DeliveryPageSize = Annotated[Int32, _integer(1, 100, default=20, description="How many deliveries a page holds.")]
