"""Reading request bodies, queries, headers and path ids. The form is checked here; the database checks the rules."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar, get_args, get_origin

from annotated_types import Interval
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from starlette.requests import Request

from assetdock_server.errors import ApiError, Field

MAX_BODY = 65_536
MAX_FIELDS = 20  # a malicious body can have thousands of invalid fields
# RFC 3339, section 5.6. Python accepts more of ISO 8601: week dates, basic formats, commas, times without seconds.
INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})")
INTEGER = re.compile(r"-?[0-9]{1,18}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Input(BaseModel):
    """The fields of a request: strict types. Unknown fields are ignored, because old clients send some."""

    model_config = ConfigDict(strict=True, extra="ignore")


Model = TypeVar("Model", bound=Input)


def _storable(text: str) -> str:
    # PostgreSQL cannot store U+0000 in text or jsonb.
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    # JSON can escape a lone surrogate, but UTF-8 cannot encode it.
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must not contain a lone surrogate")
    return text


def _instant(value: Any) -> Any:
    # RFC 3339 requires an offset: the meaning of a time without one depends on the server.
    if isinstance(value, str):
        try:
            instant = datetime.fromisoformat(value.upper()) if INSTANT.fullmatch(value) else None
        except ValueError:
            instant = None
        if instant is not None:
            return _in_utc(instant)
        raise ValueError("must be an RFC 3339 time such as 2030-01-31T12:00:00Z")
    return value


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time whose year in UTC is from 1 to 9999") from None


def _uuid(text: str) -> str:
    if not UUID.fullmatch(text.lower()):
        raise ValueError("must be a UUID")
    return text.lower()


def _integer(value: Any) -> Any:
    # JSON has one number type, and in JSON Schema 900.0 is an integer.
    return int(value) if isinstance(value, float) and value.is_integer() else value


Text = Annotated[str, AfterValidator(_storable)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
Id = Annotated[str, AfterValidator(_uuid)]
# The ranges of integer and bigint. Larger values would fail in PostgREST, before the database checks its rules.
Int32 = Annotated[int, BeforeValidator(_integer), Interval(ge=-(2**31), le=2**31 - 1)]
Int64 = Annotated[int, BeforeValidator(_integer), Interval(ge=-(2**63), le=2**63 - 1)]


def read_body(request: Request, model: type[Model]) -> Model:
    """Parses the JSON object in the body. Raises ApiError 400, 415 or 422."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ApiError("unsupported_media_type")
    body: bytes = request.state.body
    try:
        # The standard parser keeps lone surrogates, which the model then rejects with the name of the field.
        document = json.loads(body.decode("utf-8"), parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise ApiError("bad_request", "The body is not valid JSON in UTF-8.") from None
    if not isinstance(document, dict):
        raise ApiError("bad_request", "The body must be a JSON object.")
    return validate(model, document, "body")


def validate(model: type[Model], values: dict[str, Any], location: str) -> Model:
    """The values as a model. Raises ApiError `validation_error`, which lists the invalid values."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ApiError("validation_error", fields=_fields(error, location)) from None


def read_optional_body(request: Request, model: type[Model]) -> Model:
    """Like read_body, but a missing body is an empty object."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return validate(model, {}, "body")
    return read_body(request, model)


def read_query(request: Request, model: type[Model]) -> Model:
    """Parses the query parameters. Raises ApiError 422.

    Query strings carry text: an integer or boolean parameter is converted first. Text that does not convert stays
    text, and the strict model rejects it by name.
    """
    values: dict[str, Any] = dict(request.query_params)
    for name, field in model.model_fields.items():
        text = values.get(name, "")
        types = _types(field.annotation)
        if int in types and INTEGER.fullmatch(text):
            values[name] = int(text)
        elif bool in types and text in ("true", "false"):
            values[name] = text == "true"
    return validate(model, values, "query")


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key header. The database checks its form.

    Repeated headers are joined with a comma and a space, as proxies may do (RFC 9110, section 5.3). The database then
    rejects them, because no key contains a space.
    """
    values = request.headers.getlist("idempotency-key")
    return ", ".join(values) if values else None


def path_id(request: Request, name: str) -> str:
    """The UUID in the path, in lower case. Raises ApiError `not_found` for any other text."""
    value = request.path_params[name].lower()
    if not UUID.fullmatch(value):
        raise ApiError("not_found")
    return str(value)


async def buffer_body(request: Request) -> None:
    """Reads the body into `request.state.body`, even if the route does not use it. Raises ApiError `body_too_large`."""
    headers = request.headers
    has_body = "content-length" in headers or "transfer-encoding" in headers
    request.state.body = await _read_limited(request) if has_body else b""


async def _read_limited(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > MAX_BODY:
        raise ApiError("body_too_large")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ApiError("body_too_large")
    return bytes(body)


def _types(annotation: Any) -> set[Any]:
    """The plain types of an annotation such as `Annotated[int, …] | None`."""
    if get_origin(annotation) is Annotated:
        return _types(get_args(annotation)[0])
    return set().union(*map(_types, get_args(annotation))) or {annotation}


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def _fields(error: ValidationError, location: str) -> list[Field]:
    fields = []
    for each in error.errors(include_url=False, include_input=False, include_context=False)[:MAX_FIELDS]:
        # A key in metadata comes from the caller and can contain lone surrogates.
        path = ".".join(str(part) for part in (location, *each["loc"]))
        fields.append(Field(path.encode("utf-8", "replace").decode(), each["msg"]))
    return fields
