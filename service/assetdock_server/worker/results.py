"""The types of the results of the functions for workers. Fields that a type lacks are allowed."""

from typing import Any, Literal

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from assetdock_server.media.verdict import AssetType


class AssetRow(TypedDict):
    """The asset of a leased job."""

    id: str
    type: AssetType
    declared_content_type: str | None
    size_bytes: int | None
    reserved_sha256: str | None


class JobRow(TypedDict):
    """A leased job."""

    id: str
    kind: str
    attempt: int
    lease_token: str
    owner_id: str | None
    exclusive: bool
    asset: AssetRow | None


class Lease(TypedDict):
    """The result of lease_jobs."""

    jobs: list[JobRow]
    exhausted: int


class Outcome(TypedDict):
    """The result of a function that ends an attempt."""

    outcome: str


class PurgedObject(TypedDict):
    """The result of begin_purge."""

    object_name: str


class Delivery(TypedDict):
    """The result of begin_delivery for a delivery to send."""

    outcome: Literal["send"]
    delivery_id: str
    webhook_endpoint_id: str
    url: str
    body: str
    secrets: list[str]
    loopback: bool


class DroppedDelivery(TypedDict):
    """The result of begin_delivery for a delivery whose endpoint no longer wants it."""

    outcome: Literal["dropped"]
    delivery_id: str


class Maintained(TypedDict):
    """The result of run_maintenance."""

    expired: list[str]


class Discrepancy(TypedDict):
    """Rows, objects or jobs that contradict each other."""

    kind: str
    subject: str


class Discrepancies(TypedDict):
    """A page of the result of find_discrepancies."""

    items: list[Discrepancy]
    next_cursor: str | None


LEASE = TypeAdapter(Lease)
OUTCOME = TypeAdapter(Outcome)
PURGED_OBJECT = TypeAdapter(PurgedObject)
DELIVERY: TypeAdapter[Delivery | DroppedDelivery] = TypeAdapter(Delivery | DroppedDelivery)
MAINTAINED = TypeAdapter(Maintained)
DISCREPANCIES = TypeAdapter(Discrepancies)
OBJECT: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])  # a result that nobody reads
