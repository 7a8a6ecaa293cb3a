"""What the process counts, for Prometheus. Labels have few values: route templates, never ids."""

from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

requests = Counter(
    "assetdock_http_requests", "Requests by route template, method and status.", ["route", "method", "status"],
    registry=REGISTRY,
)  # fmt: skip
request_seconds = Histogram(
    "assetdock_http_request_seconds",
    "Time to answer, by route template.",
    ["route"],
    buckets=SECONDS,
    registry=REGISTRY,
)
upstream_seconds = Histogram(
    "assetdock_upstream_seconds", "Time a server behind us took, by server and operation.", ["server", "operation"],
    buckets=SECONDS, registry=REGISTRY,
)  # fmt: skip
upstream_failures = Counter(
    "assetdock_upstream_failures", "Calls that a server behind us did not answer, by server and code.",
    ["server", "code"], registry=REGISTRY,
)  # fmt: skip
api_key_lookups = Counter(
    "assetdock_api_key_lookups", "API keys resolved, by source: from memory (hit), by the database (miss).", ["source"],
    registry=REGISTRY,
)  # fmt: skip
rate_limited = Counter("assetdock_rate_limited", "Requests refused for their rate.", registry=REGISTRY)
calls_in_flight = Gauge(
    "assetdock_upstream_calls_in_flight",
    "Calls to servers behind us that are under way, or wait for a connection.",
    registry=REGISTRY,
)
connection_limit = Gauge(
    "assetdock_upstream_connection_limit", "Most concurrent calls to servers behind us; further calls wait.",
    registry=REGISTRY,
)  # fmt: skip
waiting = Gauge("assetdock_waiting_requests", "Requests that wait for an asset to come to rest.", registry=REGISTRY)

# What every request counts, each looked up once for its labels.
requests_of = cache(requests.labels)
request_seconds_of = cache(request_seconds.labels)
upstream_seconds_of = cache(upstream_seconds.labels)

queue_jobs = Gauge(
    "assetdock_queue_jobs",
    "Open jobs in the database, by kind and state: available, leased, scheduled.",
    ["kind", "state"],
    registry=REGISTRY,
)
queue_oldest_seconds = Gauge(
    "assetdock_queue_oldest_seconds", "How long the first available job has waited, by kind.", ["kind"],
    registry=REGISTRY,
)  # fmt: skip
queue_attempts = Gauge(
    "assetdock_queue_attempts",
    "The most times any open job was tried, by kind and how that ended: lost (a worker died), postponed.",
    ["kind", "ended"],
    registry=REGISTRY,
)
queue_dead = Gauge("assetdock_queue_dead_jobs", "Jobs given up in the last days, by kind.", ["kind"], registry=REGISTRY)
queue_known = Gauge("assetdock_queue_known", "1 while the database tells about its queue, else 0.", registry=REGISTRY)


def show_queue(stats: dict[str, Any] | None) -> None:
    """Takes over what assetdock.queue_stats said; None when it could not be asked: no number is better than an old one."""
    for gauge in (queue_jobs, queue_oldest_seconds, queue_attempts, queue_dead):
        gauge.clear()
    queue_known.set(0 if stats is None else 1)
    for row in stats["open"] if stats else ():
        for state in ("available", "leased", "scheduled"):
            queue_jobs.labels(row["kind"], state).set(row[state])
        queue_oldest_seconds.labels(row["kind"]).set(row["oldest_seconds"])
        queue_attempts.labels(row["kind"], "lost").set(row["attempts"])
        queue_attempts.labels(row["kind"], "postponed").set(row["postponed"])
    for kind, number in (stats["dead"] if stats else {}).items():
        queue_dead.labels(kind).set(number)


def exposition() -> bytes:
    """All of it, in Prometheus's text format."""
    return generate_latest(REGISTRY)
