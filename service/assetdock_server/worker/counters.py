"""The worker's own Prometheus metrics."""

from prometheus_client import Counter, Gauge, Histogram

from assetdock_server.metrics import REGISTRY

SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 600.0, 1800.0)

jobs = Counter(
    "assetdock_worker_jobs",
    "Jobs this worker finished or gave up, by kind and outcome: "
    "done, more, postponed, dead, released, lost (the lease expired) or crashed (a bug).",
    ["kind", "outcome"],
    registry=REGISTRY,
)
running = Gauge("assetdock_worker_jobs_running", "Jobs this worker runs now, by kind.", ["kind"], registry=REGISTRY)
attempts = Counter("assetdock_worker_attempts", "Jobs leased to this worker, by kind.", ["kind"], registry=REGISTRY)
probe_seconds = Histogram(
    "assetdock_worker_probe_seconds", "Seconds from the start of a probe to its recorded outcome.", buckets=SECONDS,
    registry=REGISTRY,
)  # fmt: skip
failures = Counter(
    "assetdock_worker_failed_assets", "Assets that failed their probe, by error_code.", ["code"],
    registry=REGISTRY,
)  # fmt: skip
maintenance_failures = Counter(
    "assetdock_worker_maintenance_failures", "Maintenance runs that failed.", registry=REGISTRY
)
expired = Counter("assetdock_worker_expired_assets", "Reservations this worker expired.", registry=REGISTRY)
token_expires_in = Gauge(
    "assetdock_worker_token_expires_in_seconds",
    "Seconds until SUPABASE_WORKER_TOKEN expires; negative after that.",
    registry=REGISTRY,
)
lease_failures = Counter(
    "assetdock_worker_lease_failures",
    "Polls for jobs that failed, by error code, token_refused, or unexpected (a bug in Assetdock).",
    ["code"],
    registry=REGISTRY,
)
