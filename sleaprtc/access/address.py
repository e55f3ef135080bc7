"""The address at which others reach a signaling server on this machine that was named by loopback."""

from __future__ import annotations

import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

import attrs
import psutil
import trio

from ..errors import SleapRTCError
from ..signaling.http import Account, Endpoints, open_http

CHECK_SEC: Final = 3.0

_ELSEWHERE: Final = ((socket.AF_INET, "203.0.113.1"), (socket.AF_INET6, "2001:db8::1"))
"""Addresses for documentation (RFC 5737, RFC 3849): they only select the outgoing interface."""


def is_only_local(url: str) -> bool:
    """Whether an address means the machine that uses it.

    That is loopback, and the "any address" that a server listens on.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def own_address() -> str | None:
    """The machine's address in its network: of the default route, or of any interface that is up."""
    for family, elsewhere in _ELSEWHERE:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))
            except OSError:
                continue
            address = str(probe.getsockname()[0])
            if not ipaddress.ip_address(address).is_loopback:
                return address
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    for name, addresses in psutil.net_if_addrs().items():
        for entry in addresses:
            if name in up and entry.family is socket.AF_INET and not entry.address.startswith("127."):
                return str(entry.address)
    return None


async def reached_from_outside(endpoints: Endpoints, account: Account, address: str) -> Endpoints | None:
    """Checks whether the same server answers at another address, on both ports.

    It is the same if it accepts ``account``'s token, which it has signed. Addresses with TLS aren't checked:
    the certificate is for the name that was given.

    Returns:
        The server's endpoints at that address; None if it isn't there.
    """
    if not endpoints.ws_url.startswith("ws://") or not endpoints.http_url.startswith("http://"):
        return None
    moved = attrs.evolve(
        endpoints, ws_url=_at(endpoints.ws_url, address), http_url=_at(endpoints.http_url, address)
    )
    ws = urlsplit(moved.ws_url)
    with trio.move_on_after(CHECK_SEC):
        try:
            async with open_http(moved.http_url) as http:
                is_same = (await http.sign_in(account)).username == account.username
            stream = await trio.open_tcp_stream(ws.hostname or address, ws.port or 80)
            await stream.aclose()
        except (SleapRTCError, OSError):
            return None
        return moved if is_same else None
    return None


def _at(url: str, address: str) -> str:
    parts = urlsplit(url)
    host = f"[{address}]" if ":" in address else address
    return parts._replace(netloc=host if parts.port is None else f"{host}:{parts.port}").geturl()
