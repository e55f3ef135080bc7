"""Checks whether a TURN server relays (RFC 8656), by making and releasing an allocation.

Engines have TURN clients of their own, which don't report servers that refuse.
"""

from __future__ import annotations

from ._bridge import open_bridge
from .engines import aiortc_turn


async def allocate(
    host: str, port: int, *, username: str, credential: str, transport: str = "udp", tls: bool = False
) -> str:
    """Makes an allocation, releases it, and returns the relayed address as ``host:port``.

    It waits up to half a minute for a response, as STUN does. Callers that want less set a timeout.

    Args:
        host: The server's host name or address.
        port: The server's port.
        username: The user name, for long-term credentials (RFC 8489, section 9.2).
        credential: The password.
        transport: ``udp`` or ``tcp``, towards the server.
        tls: Whether TCP is encrypted.

    Raises:
        TurnRefusedError: The server refuses.
        ConnectionFailedError: It can't be reached.
    """
    async with open_bridge() as bridge:
        return await bridge.run(aiortc_turn.allocate, host, port, username, credential, transport, tls)
