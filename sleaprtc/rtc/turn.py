"""Whether a TURN server relays (RFC 8656): an allocation that is made and given back.

Engines have a TURN client of their own, which says nothing of a server that refuses.
"""

from __future__ import annotations

from ._bridge import open_bridge
from .engines import aiortc_turn


async def allocate(
    host: str, port: int, *, username: str, credential: str, transport: str = "udp", tls: bool = False
) -> str:
    """Has a server relay for a moment; returns where it would relay from, as ``host:port``.

    It waits for as long as STUN does for an answer, half a minute: callers set an earlier end.

    Args:
        host: The server's.
        port: The server's.
        username: For long-term credentials (RFC 8489, section 9.2).
        credential: The password.
        transport: ``udp`` or ``tcp``, towards the server.
        tls: Whether TCP is encrypted.

    Raises:
        TurnRefusedError: The server refuses.
        ConnectionFailedError: It can't be reached.
    """
    async with open_bridge() as bridge:
        return await bridge.run(aiortc_turn.allocate, host, port, username, credential, transport, tls)
