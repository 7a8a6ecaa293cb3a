"""Documentation of the routes in routes/operations.py."""

from assetdock_server.metrics import CONTENT_TYPE
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.operations import Health, ReadinessReport

HEALTHZ = Operation(
    id="get_health",
    tag="Operations",
    summary="Does the process live",
    description="Asks nobody else. For a supervisor that restarts what hangs.",
    response=Health,
    example={"status": "ok"},
)

READYZ = Operation(
    id="get_readiness",
    tag="Operations",
    summary="Can the process work",
    description="Whether the database, Storage and the signing keys can be reached; says which cannot. Each is asked "
    "again every few seconds at most. `stale` signing keys still let sessions in. For a load balancer.",
    response=ReadinessReport,
    example={"status": "ok", "checks": {"database": "ok", "storage": "ok", "signing_keys": "ok"}},
    other_responses=(
        (
            503,
            "Something that this process needs cannot be reached.",
            ReadinessReport,
            {
                "status": "unavailable",
                "checks": {"database": "upstream_unavailable", "storage": "ok", "signing_keys": "ok"},
            },
        ),
    ),
)

METRICS = Operation(
    id="get_metrics",
    tag="Operations",
    summary="What the process counted",
    description="In Prometheus's text format.",
    media_type=CONTENT_TYPE,
    example='assetdock_http_requests_total{method="GET",route="/healthz",status="200"} 1.0\n',
)
