"""GET /metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.callers import Caller, Project


def values(project: Project) -> dict[tuple[str, ...], float]:
    answer = httpx.get(f"{project.api_url}/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_and_what_they_cost_are_counted_by_route_template(owner: Caller) -> None:
    asset_id = owner.reserve()["asset"]["id"]
    route = "/api/v1/assets/{asset_id}"
    before = values(owner.project)

    owner.asset(asset_id)
    owner.http.get("/assets/nonsense")

    after = values(owner.project)

    def grown(*name: str) -> float:
        return after[name] - before.get(name, 0)

    assert grown("assetdock_http_requests_total", "GET", route, "200") == 1
    assert grown("assetdock_http_requests_total", "GET", route, "404") == 1
    assert grown("assetdock_http_request_seconds_count", route) == 2
    assert grown("assetdock_upstream_seconds_count", "get_asset", "database") == 1
    assert after["assetdock_upstream_calls_in_flight",] == 0
    assert asset_id not in httpx.get(f"{owner.project.api_url}/metrics").text


def test_remembered_keys_are_told_from_looked_up_ones(owner: Caller) -> None:
    holder = owner.key_holder()
    before = values(owner.project)

    for _ in range(3):
        holder.http.get("/assets")

    after = values(owner.project)
    for kind, more in (("hit", 2), ("miss", 1)):
        name = ("assetdock_api_key_lookups_total", kind)
        assert after[name] - before.get(name, 0) == more
