"""The process's Prometheus metrics. Labels have few values: route templates, never ids."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry()
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

requests = Counter(
    "assetdock_http_requests",
    "HTTP requests by route template, method and status.",
    ["route", "method", "status"],
    registry=REGISTRY,
)
request_seconds = Histogram(
    "assetdock_http_request_seconds",
    "Duration of HTTP requests by route template.",
    ["route"],
    buckets=SECONDS,
    registry=REGISTRY,
)
upstream_seconds = Histogram(
    "assetdock_upstream_seconds",
    "Duration of calls to upstream servers by server and operation.",
    ["server", "operation"],
    buckets=SECONDS,
    registry=REGISTRY,
)
upstream_failures = Counter(
    "assetdock_upstream_failures",
    "Failed calls to upstream servers by server and error code.",
    ["server", "code"],
    registry=REGISTRY,
)
api_key_lookups = Counter(
    "assetdock_api_key_lookups",
    "Lookups of API keys by source: the cache (hit) or the database (miss).",
    ["source"],
    registry=REGISTRY,
)
rate_limited = Counter("assetdock_rate_limited", "Requests rejected by the rate limit.", registry=REGISTRY)
calls_in_flight = Gauge(
    "assetdock_upstream_calls_in_flight",
    "Calls to upstream servers that are in progress or wait for a connection.",
    registry=REGISTRY,
)
connection_limit = Gauge(
    "assetdock_upstream_connection_limit",
    "Maximum number of concurrent calls to upstream servers. Further calls wait.",
    registry=REGISTRY,
)
waiting = Gauge(
    "assetdock_waiting_requests",
    "Requests that wait for an asset to leave pending_upload and processing.",
    registry=REGISTRY,
)

# Looked up once per set of labels, because every request uses them.
requests_of = cache(requests.labels)
request_seconds_of = cache(request_seconds.labels)
upstream_seconds_of = cache(upstream_seconds.labels)

queue_jobs = Gauge(
    "assetdock_queue_jobs",
    "Open jobs by kind and state: available, leased, scheduled.",
    ["kind", "state"],
    registry=REGISTRY,
)
queue_oldest_seconds = Gauge(
    "assetdock_queue_oldest_seconds",
    "Age of the oldest available job by kind.",
    ["kind"],
    registry=REGISTRY,
)
queue_attempts = Gauge(
    "assetdock_queue_attempts",
    "Highest number of attempts of an open job by kind and result: lost (a worker crashed), postponed.",
    ["kind", "ended"],
    registry=REGISTRY,
)
queue_dead = Gauge(
    "assetdock_queue_dead_jobs", "Jobs that failed permanently in the last days, by kind.", ["kind"], registry=REGISTRY
)
queue_known = Gauge("assetdock_queue_known", "1 if the last query of the queue succeeded, else 0.", registry=REGISTRY)


def show_queue(stats: Mapping[str, Any] | None) -> None:
    """Sets the gauges of the queue from the result of assetdock.queue_stats.

    With None, when the query failed, it clears them: no value is better than an old one.
    """
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
    """All metrics in the Prometheus text format."""
    return generate_latest(REGISTRY)
