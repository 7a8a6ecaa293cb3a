"""Liveness and readiness."""

from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from assetdock_server.routes.schemas.types import Schema


class Health(Schema):
    """The process is running."""

    status: Literal["ok"]


CheckState = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "description": "`ok`, or an error code. `stale`: the signing keys cannot be fetched, and the last ones "
            "remain in use. `signing_key_refused`: the project does not know the key in SUPABASE_SIGNING_KEY (or the "
            "secret in SUPABASE_JWT_SECRET), or it was revoked. `clock_skew`: the clocks of this machine and of the "
            "project differ by minutes. `storage_too_old`: storage-api is older than 1.41.",
        }
    ),
]


class Checks(Schema):
    """The state of each upstream server."""

    database: CheckState
    storage: CheckState
    signing_keys: CheckState


class ReadinessReport(Schema):
    """Whether this process can serve requests."""

    status: Literal["ok", "unavailable"]
    checks: Checks
    storage_version: Annotated[
        str | None,
        Field(description="The version of storage-api, if Storage tells it. 1.41 is the minimum, 1.58.20 recommended."),
    ]
