"""The addresses a webhook may be sent to. A host is resolved once, here, and the connection goes to a checked address.

This prevents server-side request forgery: callers choose the URLs, and the worker can reach what they cannot (the
cloud's metadata service, a database's port, its own machine).
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address

# Python's releases differ in the special addresses that ipaddress knows, and some global addresses lead to internal
# services.
FORBIDDEN = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, where some clouds keep their metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform, reachable from every machine there
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
        "2002::/16",  # 6to4 embeds an IPv4 address
        "3fff::/20",
    )
)
GLOBAL_UNICAST = ip_network("2000::/3")  # the rest of IPv6 is special: loopback, ULA, link-local, NAT64, multicast

# A pool of its own: a name server that hangs must not block the process's other look-ups.
_lookups = ThreadPoolExecutor(max_workers=16, thread_name_prefix="webhook-dns")

LookUp = Callable[..., list[tuple[Any, ...]]]


class UnusableTargetError(Exception):
    """The target was refused before a connection. The message is for the owner of the endpoint."""


def is_allowed(address: Address, *, loopback: bool) -> bool:
    """Whether a webhook may be sent to this address: a public one, or loopback if `loopback` allows it."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_loopback:
        return loopback
    if address.version == 6 and address not in GLOBAL_UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in network for network in FORBIDDEN)


async def resolve(host: str, port: int, *, loopback: bool, look_up: LookUp = socket.getaddrinfo) -> list[Address]:
    """The addresses of a host name or address. Raises UnusableTargetError when there is none, or when any of them is
    not allowed: a name with public and internal addresses is an attack.
    """
    running = asyncio.get_running_loop()
    try:
        found = await running.run_in_executor(_lookups, lambda: look_up(host, port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError):
        raise UnusableTargetError("The host name can't be resolved.") from None
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    if not addresses:
        raise UnusableTargetError("The host name can't be resolved.")
    if not all(is_allowed(address, loopback=loopback) for address in addresses):
        raise UnusableTargetError("The host resolves to an address that is not public.")
    return addresses
