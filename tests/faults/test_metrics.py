"""The metrics of the queue and of a worker."""

import httpx

from devstack.ports import Ports
from tests.callers import Caller
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone


def test_the_service_reports_the_jobs_in_the_queue(site: Site, owner: Caller) -> None:
    owner.land(tone(0.5))

    def metrics() -> str:
        return httpx.get(f"{site.project.api_url}/metrics").text

    until(lambda: 'assetdock_queue_jobs{kind="probe",state="available"} 1.0' in metrics(), "the gauge to show the job")
    assert 'assetdock_queue_oldest_seconds{kind="probe"}' in metrics()
    assert "assetdock_queue_known 1.0" in metrics()


def test_a_worker_counts_its_jobs_attempts_and_failed_assets(site: Site, owner: Caller) -> None:
    port = Ports.free().gateway
    site.worker("watched", ASSETDOCK_WORKER_METRICS_PORT=str(port))
    assert owner.wait_until_finished(owner.land(tone(0.5)))["state"] == "ready"
    assert owner.wait_until_finished(owner.land(b"no media"))["error_code"] == "unreadable_media"

    def value(name: str) -> float:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")), "0"))

    # At least two, because the worker also probes the assets of other tests.
    until(lambda: value('assetdock_worker_jobs_total{kind="probe",outcome="done"}') >= 2, "both to be counted")
    assert value('assetdock_worker_attempts_total{kind="probe"}') >= 2
    assert value('assetdock_worker_failed_assets_total{code="unreadable_media"}') >= 1
    assert value("assetdock_worker_probe_seconds_count") >= 2
