"""Asking a TURN server to relay, by the client that aiortc has for it."""

from __future__ import annotations

import asyncio
import ssl
from typing import Final

from aioice import stun
from aioice.turn import create_turn_endpoint

from ...errors import ConnectionFailedError

LIFETIME_SEC: Final = 60
"""Of an allocation whose end doesn't reach the server."""


async def allocate(host: str, port: int, username: str, credential: str, transport: str, tls: bool) -> str:
    """The asyncio side of :func:`sleaprtc.rtc.turn.allocate`, which says what the arguments are.

    Raises:
        ConnectionFailedError: The server refuses, or can't be reached.
    """
    try:
        relay, _ = await create_turn_endpoint(
            asyncio.DatagramProtocol,
            (host, port),
            username=username,
            password=credential,
            lifetime=LIFETIME_SEC,
            ssl=ssl.create_default_context() if tls else None,
            transport=transport,
        )
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (0, "it doesn't say why"))
        raise ConnectionFailedError(f"it refuses to relay: {code} {reason}".rstrip()) from error
    except OSError as error:
        raise ConnectionFailedError(error.strerror or str(error)) from error
    relay_host, relay_port = relay.get_extra_info("sockname")
    relay.close()
    return f"[{relay_host}]:{relay_port}" if ":" in relay_host else f"{relay_host}:{relay_port}"
