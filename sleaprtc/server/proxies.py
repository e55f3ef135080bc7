"""Finds a client's address behind proxies. Only proxies that the operator names are believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import TypeAlias

from ..errors import UsageError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

FORWARDED_FOR = "X-Forwarded-For"


def parse_proxy(text: str) -> Network:
    """Parses an address such as ``10.0.0.5``, or a network such as ``10.0.0.0/24``.

    Raises:
        UsageError: The text is neither.
    """
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(f"{text!r} isn't the address or network of a proxy, such as 10.0.0.5.") from error


def is_proxy(address: str, proxies: Iterable[Network]) -> bool:
    """Whether an address is one of the proxies'."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in proxies)


def client_address(peer_address: str, forwarded_for: Iterable[str], proxies: tuple[Network, ...]) -> str:
    """Returns a client's address, as far as it can be believed.

    Each proxy appends the address from which it got the request. The list is therefore read from its end, as
    long as the proxies that wrote it are trusted. Whatever a client writes into the header itself is ignored.

    Args:
        peer_address: The address at the other end of the connection.
        forwarded_for: The values of all ``X-Forwarded-For`` headers, in order.
        proxies: The trusted proxies.
    """
    hops = [hop.strip() for value in forwarded_for for hop in value.split(",")]
    address = peer_address
    while hops and is_proxy(address, proxies):
        parsed = _parsed(hops.pop())
        if parsed is None:
            break
        address = str(parsed)
    return address


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
