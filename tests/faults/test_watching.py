"""What an operator sees of the queue and of a worker."""

import httpx

from devstack.ports import Ports
from tests.callers import Caller
from tests.faults.site import Site
from tests.polling import until
from tests.tone import tone


def test_the_service_tells_what_waits_in_the_queue(site: Site, owner: Caller) -> None:
    owner.land(tone(0.5))

    def scraped() -> str:
        return httpx.get(f"{site.project.api_url}/metrics").text

    until(lambda: 'assetdock_queue_jobs{kind="probe",state="available"} 1.0' in scraped(), "the gauge to show the job")
    assert 'assetdock_queue_oldest_seconds{kind="probe"}' in scraped()
    assert "assetdock_queue_known 1.0" in scraped()


def test_a_worker_tells_what_it_did(site: Site, owner: Caller) -> None:
    port = Ports.free().gateway
    site.worker("watched", ASSETDOCK_WORKER_METRICS_PORT=str(port))
    assert owner.finished(owner.land(tone(0.5)))["state"] == "ready"
    assert owner.finished(owner.land(b"no media"))["error_code"] == "unreadable_media"

    def shown(name: str) -> float:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
        return float(next((line.rpartition(" ")[2] for line in lines if line.startswith(f"{name} ")), "0"))

    # At least: what other tests left in the queue is worked off too.
    until(lambda: shown('assetdock_worker_jobs_total{kind="probe",outcome="done"}') >= 2, "both to be counted")
    assert shown('assetdock_worker_attempts_total{kind="probe"}') >= 2
    assert shown('assetdock_worker_failed_assets_total{code="unreadable_media"}') >= 1
    assert shown("assetdock_worker_probe_seconds_count") >= 2
