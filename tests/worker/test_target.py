"""The addresses that webhooks can be sent to."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from assetdock_server.webhooks.sending import send
from assetdock_server.webhooks.target import UnusableTargetError, is_allowed, resolve
from tests.receiver import Receiver, receiving

INTERNAL = [
    "0.0.0.0",  # noqa: S104 - no socket binds to it
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.0.1",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", INTERNAL)
def test_refuses_an_internal_address(address: str) -> None:
    assert not is_allowed(ip_address(address), loopback=False)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
def test_allows_a_public_address(address: str) -> None:
    assert is_allowed(ip_address(address), loopback=False)


@pytest.mark.parametrize("address", INTERNAL)
def test_the_loopback_setting_allows_only_loopback(address: str) -> None:
    parsed = ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed

    assert is_allowed(parsed, loopback=True) == mapped.is_loopback


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["2606:4700::1", "fe80::1%eth0"], []]
)
def test_refuses_a_name_if_any_of_its_addresses_is_internal(addresses: list[str]) -> None:
    def look_up(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

    with pytest.raises(UnusableTargetError):
        asyncio.run(resolve("innocent.example", 443, loopback=False, look_up=look_up))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0", "[::1]"])
def test_refuses_every_spelling_of_loopback(receiver: Receiver, host: str) -> None:
    attempt = asyncio.run(send(f"http://{host}:{receiver.port}/", b"{}", {}))

    assert attempt.status is None
    assert attempt.error == "The host resolves to an address that is not public."
    assert receiver.received == []


@pytest.fixture
def receiver() -> Any:
    with receiving() as running:
        yield running
