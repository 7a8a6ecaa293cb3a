"""Documentation of the routes in routes/operations.py."""

from assetdock_server.metrics import CONTENT_TYPE
from assetdock_server.routes.entry import Operation
from assetdock_server.routes.schemas.operations import Health, ReadinessReport

HEALTHZ = Operation(
    id="get_health",
    tag="Operations",
    summary="Check liveness",
    description="Returns 200 while the process runs. It calls no other server. Use it to restart a process that hangs.",
    response=Health,
    example={"status": "ok"},
)

READYZ = Operation(
    id="get_readiness",
    tag="Operations",
    summary="Check readiness",
    description="Reports whether the service can reach the database, Storage and the signing keys. Results are cached "
    "for up to a few seconds. Sessions are still accepted while the signing keys are `stale`. Use it in a load "
    "balancer.",
    response=ReadinessReport,
    example={
        "status": "ok",
        "checks": {"database": "ok", "storage": "ok", "signing_keys": "ok"},
        "storage_version": "1.58.20",
    },
    other_responses=(
        (
            503,
            "A server that this process needs cannot be reached.",
            ReadinessReport,
            {
                "status": "unavailable",
                "checks": {"database": "upstream_unavailable", "storage": "ok", "signing_keys": "ok"},
                "storage_version": None,
            },
        ),
    ),
)

METRICS = Operation(
    id="get_metrics",
    tag="Operations",
    summary="Get metrics",
    description="Returns the metrics of this process and of the job queue in the Prometheus text format.",
    media_type=CONTENT_TYPE,
    example='assetdock_http_requests_total{method="GET",route="/healthz",status="200"} 1.0\n',
)
