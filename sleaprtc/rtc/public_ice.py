"""Which of the STUN and TURN servers that a signaling server hands out are at public addresses.

An ICE agent sends packets to whatever address it is handed. A peer that doesn't trust the signaling server
with its own network asks only those that aren't in it.
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
"""For all names together; one that isn't found by then is no public address."""

MAX_URLS: Final = 16
"""Looked at; a server that hands out more gets no more asked."""

_TLS_SCHEMES: Final = ("stuns", "turns")
_SCHEMES: Final = ("stun", "turn", *_TLS_SCHEMES)
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052, section 2.1

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


async def public_only(servers: tuple[IceServer, ...]) -> tuple[tuple[IceServer, ...], tuple[str, ...]]:
    """Splits off what is, or may be, at a private, loopback, link-local or otherwise not public address.

    A name counts as public where all its addresses are. It is replaced by one of them, so that it can't mean
    another one by the time that the engine looks it up; but for TLS, whose certificate is for the name.

    Returns:
        The servers that are public, and the URLs that were left out.
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
                # A failure costs this URL, which then isn't known to be public.
                nursery.start_soon(run_contained, "An ICE server's address can't be found.", look_up, url)
    kept = (
        attrs.evolve(server, urls=tuple(public[url] for url in server.urls if url in public))
        for server in servers
    )
    refused = tuple(url for server in servers for url in server.urls if url not in public)
    return tuple(server for server in kept if server.urls), refused


async def _public_form(url: str) -> str | None:
    """The URL as it may be asked, None where it may not."""
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
    """Whether an address is one of the public Internet's, also where it stands for an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast
