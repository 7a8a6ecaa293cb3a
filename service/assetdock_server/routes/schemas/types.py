"""The base class of response models, and the types of their fields."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


def _allow_additional_properties(schema: Json) -> None:
    schema.pop("additionalProperties", None)


def without_default(schema: Json) -> None:
    """For a key that is absent, not null, when it has no value: its schema states no default."""
    schema.pop("default", None)


class Schema(BaseModel):
    """A JSON object in a response. Every key is present unless its description says otherwise."""

    model_config = ConfigDict(strict=True, extra="forbid", json_schema_extra=_allow_additional_properties)


def text(pattern: str, **keywords: Any) -> Any:
    """A string field that matches `pattern`, with more keywords of its JSON schema."""
    return Field(pattern=pattern, json_schema_extra=keywords)


UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
Id = Annotated[str, text(UUID, format="uuid")]
Instant = Annotated[str, text(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z$", format="date-time")]
Decimals = Annotated[str, text(r"^[0-9]+\.[0-9]{3}$")]
Url = Annotated[str, text(r"^[hH][tT][tT][pP][sS]?://", format="uri")]
Count = Annotated[int, Field(ge=0)]
