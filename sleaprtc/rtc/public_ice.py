"""Picks the STUN and TURN servers at public addresses from those that a signaling server hands out.

An ICE agent sends packets to any address it is given. A peer that doesn't want the signaling server to reach
into its own network asks only servers at public addresses.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import attrs
import trio

from ..base.nurseries import run_contained
from ..protocol.messages import IceServer

LOOKUP_SEC: Final = 3.0
"""For all names together. A name that isn't resolved by then doesn't count as public."""

MAX_URLS: Final = 16
"""Checked at most; any further ones aren't asked."""

_TLS_SCHEMES: Final = ("stuns", "turns")
_SCHEMES: Final = ("stun", "turn", *_TLS_SCHEMES)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052, section 2.1

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def public_only(servers: tuple[IceServer, ...]) -> tuple[tuple[IceServer, ...], tuple[str, ...]]:
    """Leaves out servers that are, or may be, at private, loopback, link-local or other non-public addresses.

    A host name counts as public if all its addresses are. It is replaced by one of them, so that it can't
    resolve to something else when the engine looks it up. TLS URLs keep the name, which the certificate has.

    Returns:
        The public servers, and the URLs that were left out.
    """
    urls = [url for server in servers for url in server.urls][:MAX_URLS]
    public: dict[str, str] = {}

    async def look_up(url: str) -> None:
        found = await _public_form(url)
        if found is not None:
            public[url] = found

    with trio.move_on_after(LOOKUP_SEC):
        async with trio.open_nursery() as nursery:
            for url in dict.fromkeys(urls):
                # A failure costs only this URL, which then doesn't count as public.
                nursery.start_soon(run_contained, "An ICE server's address can't be found.", look_up, url)
    kept = (
        attrs.evolve(server, urls=tuple(public[url] for url in server.urls if url in public))
        for server in servers
    )
    refused = tuple(url for server in servers for url in server.urls if url not in public)
    return tuple(server for server in kept if server.urls), refused


async def _public_form(url: str) -> str | None:
    """Returns the URL to ask, with a resolved address unless it uses TLS; None if it isn't public."""
    scheme, _, rest = url.partition(":")
    place, mark, query = rest.partition("?")
    try:
        parsed = urlsplit(f"//{place}")
        host, port = parsed.hostname, parsed.port
    except ValueError:
        return None
    if scheme not in _SCHEMES or not host or "@" in place or "%" in host:
        return None
    try:
        found = await trio.socket.getaddrinfo(host, port or 0, type=trio.socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses or not all(is_public(address) for address in addresses):
        return None
    if scheme in _TLS_SCHEMES:
        return url
    first = addresses[0]
    name = f"[{first}]" if first.version == 6 else str(first)
    return f"{scheme}:{name}{'' if port is None else f':{port}'}{mark}{query}"


def is_public(address: Address) -> bool:
    """Whether an address is public. An IPv6 address that embeds an IPv4 address is judged by that."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast
