"""The service and the worker, as processes, behind a gateway that responds in place of PostgREST and Storage."""

from collections.abc import Iterator, Mapping

import httpx
import pytest

from devstack.ports import Ports
from tests.attacks import Record
from tests.callers import Caller
from tests.lying_gateway import Answer, LyingGateway, lying_gateway
from tests.polling import until
from tests.processes import Process, Service

NOT_PROMISED: list[Answer] = [(200, b"<html>"), (200, b""), (200, b"null"), (200, b"[7]"), (204, b"")]
UNKNOWN = "01a20bc8-9fa1-7d85-8938-770126c645ee"


@pytest.fixture(scope="module")
def gateway(service_environment: dict[str, str]) -> Iterator[LyingGateway]:
    with lying_gateway(service_environment["SUPABASE_URL"]) as running:
        yield running


@pytest.fixture(scope="module")
def service_behind(service_environment: dict[str, str], gateway: LyingGateway) -> Iterator[str]:
    running = Service({**service_environment, "SUPABASE_URL": gateway.url}, Ports.free().gateway)
    yield running.url
    running.stop()


@pytest.fixture
def lied_to(service_behind: str, key_holder: Caller) -> Iterator[httpx.Client]:
    """A client of a service behind the gateway, with an API key: sessions are of another project URL."""
    headers = {"Authorization": f"Bearer {key_holder.credential}"}
    with httpx.Client(base_url=service_behind, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(autouse=True)
def truthful(gateway: LyingGateway) -> Iterator[None]:
    yield
    gateway.lie = lambda _: None


def test_no_false_response_is_a_result(gateway: LyingGateway, lied_to: httpx.Client, attack: Record) -> None:
    assert lied_to.get("/api/v1/assets").status_code == 200
    statuses = set()
    for answer in NOT_PROMISED:
        gateway.lie = lambda path, answer=answer: answer if "/storage/v1/object/" in path else None  # type: ignore[misc]
        statuses.add(lied_to.post("/api/v1/assets/upload-url", json={"type": "audio"}).status_code)
        gateway.lie = lambda path, answer=answer: answer if "/rest/v1/rpc/" in path else None  # type: ignore[misc]
        statuses.add(lied_to.post("/api/v1/assets/upload-url", json={"type": "audio"}).status_code)
        statuses.add(lied_to.get("/api/v1/assets").status_code)
        if answer[0] != 204:  # what is promised for a deletion
            statuses.add(lied_to.delete(f"/api/v1/assets/{UNKNOWN}").status_code)
    gateway.lie = lambda _: None
    assert lied_to.get("/api/v1/assets").status_code == 200

    attack(
        "6 false responses to the service",
        before="200 null, 204 or 500",
        now=", ".join(map(str, sorted(statuses))),
        bound="502",
    )
    assert statuses == {502}


def test_no_false_response_ends_the_worker(
    worker_environment: Mapping[str, str], gateway: LyingGateway, attack: Record
) -> None:
    worker = Process(["worker"], {**worker_environment, "SUPABASE_URL": gateway.url})

    def lines(event: str) -> int:
        return worker.output.count(f'"event":"{event}"')

    try:
        until(lambda: lines("worker_started") == 1, "the worker to start")
        for number, answer in enumerate(NOT_PROMISED, start=1):
            reached, unreachable = lines("queue_reached"), lines("queue_unreachable")
            gateway.lie = lambda path, answer=answer: answer if path.endswith("/lease_jobs") else None  # type: ignore[misc]
            until(lambda n=unreachable: lines("queue_unreachable") >= n + 2, f"answer {number} to be judged")  # type: ignore[misc]
            gateway.lie = lambda _: None
            until(lambda n=reached: lines("queue_reached") >= n + 2, "the worker to continue")  # type: ignore[misc]
        alive = worker.exit_code is None
    finally:
        worker.stop()

    attack("6 false responses to lease_jobs", before="the worker ends", now="it continues", bound="it continues")
    assert alive


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (429, (503, "10")),
        (520, (503, "2")),
        (521, (503, "2")),
        (522, (504, None)),
        (523, (503, "2")),
        (524, (504, None)),
        (530, (503, "2")),
        (540, (503, "60")),
    ],
)
def test_the_statuses_of_proxies_are_temporary_failures(
    gateway: LyingGateway, lied_to: httpx.Client, attack: Record, status: int, expected: tuple[int, str | None]
) -> None:
    assert lied_to.get("/api/v1/assets").status_code == 200
    found = []
    for server in ("/rest/v1/rpc/", "/storage/v1/object/"):
        gateway.lie = lambda path, server=server: (status, b"error code") if server in path else None  # type: ignore[misc]
        response = lied_to.post("/api/v1/assets/upload-url", json={"type": "audio"})
        found.append((response.status_code, response.headers.get("Retry-After")))

    attack(
        f"13 status {status} of a proxy",
        before="503, by accident" if status == 530 else "502",
        now=f"{found[0][0]}, Retry-After {found[0][1]}",
        bound=f"{expected[0]}, Retry-After {expected[1]}",
    )
    assert found == [expected] * 2
