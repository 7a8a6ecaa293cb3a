"""SUPABASE_STORAGE_URL: bytes go to an address of their own, as on hosted Supabase."""

from collections.abc import Iterator

import httpx
import pytest

from assetdock_server.config import ConfigError, service_settings
from devstack.ports import Ports
from devstack.stack import Stack
from tests.callers import Caller, Project, session_caller
from tests.processes import Service, WorkerProcess


@pytest.fixture(scope="module")
def bytes_address(stack: Stack) -> str:
    """Another name for the gateway."""
    return stack.supabase_url.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def own_service(service_environment: dict[str, str], bytes_address: str) -> Iterator[Service]:
    running = Service({**service_environment, "SUPABASE_STORAGE_URL": f"{bytes_address}/"}, Ports.free().gateway)
    yield running
    running.stop()


@pytest.fixture
def caller(stack: Stack, own_service: Service) -> Caller:
    return session_caller(Project(stack.supabase_url, stack.publishable_key, stack.secret_key, own_service.url))


def test_uploads_and_downloads_use_the_address_for_bytes(
    caller: Caller, worker: WorkerProcess, bytes_address: str, wav: bytes
) -> None:
    reservation = caller.reserve()
    put = caller.upload(reservation, wav)
    asset = caller.wait_until_finished(reservation["asset"]["id"])

    assert put.status_code == 200, put.text
    assert reservation["upload"]["url"].startswith(f"{bytes_address}/storage/v1/object/upload/sign/")
    assert reservation["upload"]["resumable"]["url"] == f"{bytes_address}/storage/v1/upload/resumable/sign"
    assert asset["download_url"].startswith(f"{bytes_address}/storage/v1/object/sign/")
    assert httpx.get(asset["download_url"]).content == wav


def test_the_page_may_connect_to_both_addresses(own_service: Service, stack: Stack, bytes_address: str) -> None:
    policy = httpx.get(f"{own_service.url}/").headers["content-security-policy"]

    assert f"connect-src 'self' {stack.supabase_url} {bytes_address};" in policy
    assert f"media-src 'self' blob: {bytes_address};" in policy


@pytest.mark.parametrize("url", ["abc", "ftp://x", "https://x/storage/v1", "https://x?y"])
def test_a_malformed_address_is_refused_at_start(service_environment: dict[str, str], url: str) -> None:
    with pytest.raises(ConfigError, match="SUPABASE_STORAGE_URL is not a plain"):
        service_settings({**service_environment, "SUPABASE_STORAGE_URL": url})
