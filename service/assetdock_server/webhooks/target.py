"""Where a webhook may go: names are resolved once, here, and only what was judged is connected to.

The URLs are other people's. Without this a caller could have the worker speak to what only the worker can reach: the
cloud's metadata, a database's port, its own machine (server-side request forgery).
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Address = IPv4Address | IPv6Address

# ipaddress knows the registries of special addresses, but each Python release knows them a little differently; and
# some addresses that are global on paper lead inwards.
NEVER = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, where some clouds keep their metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform, reachable from inside every machine there
        "169.254.0.0/16",  # link-local, with the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # Teredo, ORCHID and others
        "2001:db8::/32",
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",
    )
)
GLOBAL_UNICAST = ip_network("2000::/3")  # all else in IPv6 is special: loopback, ULA, link-local, NAT64, multicast

# Threads of their own: a name server that hangs must not keep the process's other look-ups waiting.
_lookups = ThreadPoolExecutor(max_workers=16, thread_name_prefix="webhook-dns")

LookUp = Callable[..., list[tuple[Any, ...]]]


class UnusableTargetError(Exception):
    """Nothing was connected to; the message is for the endpoint's owner."""


def is_allowed(address: Address, *, loopback: bool) -> bool:
    """Whether a webhook may go to this address: public ones, and loopback where a setting allows it."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return loopback
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in NEVER)


async def resolve(host: str, port: int, *, loopback: bool, look_up: LookUp = socket.getaddrinfo) -> list[Address]:
    """The addresses of a host, which may be an address itself. Raises UnusableTargetError when there is none, or when
    one of them is not allowed: a name that leads outwards and inwards at once is a trick."""
    running = asyncio.get_running_loop()
    try:
        found = await running.run_in_executor(_lookups, lambda: look_up(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        raise UnusableTargetError("The host name can't be resolved.") from None
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    if not addresses:
        raise UnusableTargetError("The host name can't be resolved.")
    if not all(is_allowed(address, loopback=loopback) for address in addresses):
        raise UnusableTargetError("The host leads to an address that is not public.")
    return addresses


class Pinned(AbstractResolver):
    """Answers with addresses that were judged already, whatever the name would lead to by now."""

    def __init__(self, addresses: list[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses, as aiohttp wants them. The name stays what TLS is checked against."""
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
            if family in (socket.AF_UNSPEC, socket.AF_INET if address.version == 4 else socket.AF_INET6)
        ]

    async def close(self) -> None:
        """Nothing to close."""
