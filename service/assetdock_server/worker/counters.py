"""What a worker counts, for Prometheus, beside what every process of ours does."""

from prometheus_client import Counter, Gauge, Histogram

from assetdock_server.metrics import REGISTRY

SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 600.0, 1800.0)

jobs = Counter(
    "assetdock_worker_jobs",
    "Jobs this worker let go of, by kind and how: done, postponed, dead, lost (its lease), released, broke.",
    ["kind", "outcome"],
    registry=REGISTRY,
)
in_hand = Gauge("assetdock_worker_jobs_in_hand", "Jobs this worker holds, by kind.", ["kind"], registry=REGISTRY)
attempts = Counter("assetdock_worker_attempts", "Leases this worker was given, by kind.", ["kind"], registry=REGISTRY)
probe_seconds = Histogram(
    "assetdock_worker_probe_seconds", "Time a probe took, from its lease to its outcome.", buckets=SECONDS,
    registry=REGISTRY,
)  # fmt: skip
failures = Counter(
    "assetdock_worker_failed_assets", "Assets this worker found to be of no use, by error_code.", ["code"],
    registry=REGISTRY,
)  # fmt: skip
maintenance_failures = Counter(
    "assetdock_worker_maintenance_failures",
    "Times that what happens by the clock could not be done.",
    registry=REGISTRY,
)
expired = Counter("assetdock_worker_expired_assets", "Reservations this worker found to be over.", registry=REGISTRY)
