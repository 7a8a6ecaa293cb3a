"""GET /metrics."""

import re

import httpx
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families

from assetdock_server import metrics
from assetdock_server.worker import counters
from devstack.binaries import PROJECT
from tests.callers import Caller, Project


def values(project: Project) -> dict[tuple[str, ...], float]:
    response = httpx.get(f"{project.api_url}/metrics")
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def test_counts_requests_and_their_upstream_calls_by_route(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    route = "/api/v1/assets/{asset_id}"
    before = values(owner.project)

    owner.asset(asset_id)
    owner.http.get("/assets/nonsense")

    after = values(owner.project)

    def increase(*name: str) -> float:
        return after[name] - before.get(name, 0)

    assert increase("assetdock_http_requests_total", "GET", route, "200") == 1
    assert increase("assetdock_http_requests_total", "GET", route, "404") == 1
    assert increase("assetdock_http_request_seconds_count", route) == 2
    assert increase("assetdock_upstream_seconds_count", "get_asset", "database") == 1
    assert after["assetdock_upstream_calls_in_flight",] == 0
    assert after["assetdock_upstream_connection_limit",] == 200
    assert asset_id not in httpx.get(f"{owner.project.api_url}/metrics").text


def test_counts_cached_and_resolved_keys_separately(owner: Caller) -> None:
    holder = owner.key_holder()
    before = values(owner.project)

    for _ in range(3):
        holder.http.get("/assets")

    after = values(owner.project)
    for kind, more in (("hit", 2), ("miss", 1)):
        name = ("assetdock_api_key_lookups_total", kind)
        assert after[name] - before.get(name, 0) == more


def exposed(module: object) -> set[tuple[str, tuple[str, ...]]]:
    """(name as it is scraped, labels) of each metric that a module defines."""
    return {
        (each._name + ("_total" if each._type == "counter" else ""), tuple(each._labelnames))
        for each in vars(module).values()
        if isinstance(each, MetricWrapperBase)
    }


def test_the_operations_page_lists_exactly_the_existing_metrics(project: Project) -> None:
    page = (PROJECT / "docs/operations.md").read_text().partition("## Metrics and logs")[2]
    listed = [
        ((name, tuple(filter(None, labels.split(", ")))), line.split("|")[2].strip())
        for line in page.splitlines()
        for name, labels in re.findall(r"`(assetdock_\w+)(?:\{([\w, ]+)\})?`", line.partition("|")[2].partition("|")[0])
    ]

    assert len(listed) == len(dict(listed))
    assert dict(listed).keys() == exposed(metrics) | exposed(counters)
    assert {metric for metric, process in listed if process == "worker"} == exposed(counters)
    scraped = {name for name, *_ in values(project)}
    assert not [
        name
        for name in scraped
        if not name.startswith(tuple(metric for (metric, _), _ in listed)) and not name.endswith("_created")
    ]
