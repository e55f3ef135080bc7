"""Asking a TURN server to relay, by the client that aiortc has for it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import Final

from aioice import stun
from aioice.turn import create_turn_endpoint

from ...base.sentences import as_clause
from ...errors import ConnectionFailedError
from ..stun import TurnRefusedError

LIFETIME_SEC: Final = 60
"""Of an allocation whose end doesn't reach the server."""


RELEASE_SEC: Final = 1.0
"""For the server to hear that the allocation isn't needed any more."""


class _Allocation(asyncio.DatagramProtocol):
    """Takes what is relayed, which is nothing, and notes when the server has let the allocation go."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.released.set()


async def allocate(host: str, port: int, username: str, credential: str, transport: str, tls: bool) -> str:
    """The asyncio side of :func:`sleaprtc.rtc.turn.allocate`, which says what the arguments are.

    Raises:
        TurnRefusedError: The server refuses.
        ConnectionFailedError: It can't be reached.
    """
    try:
        relay, protocol = await create_turn_endpoint(
            _Allocation,
            (host, port),
            username=username,
            password=credential,
            lifetime=LIFETIME_SEC,
            ssl=ssl.create_default_context() if tls else None,
            transport=transport,
        )
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get("ERROR-CODE", (0, "it doesn't say why"))
        raise TurnRefusedError(f"it refuses to relay: {code} {reason}".rstrip(), code) from error
    except OSError as error:
        raise ConnectionFailedError(as_clause(error)) from error
    relay_host, relay_port = relay.get_extra_info("sockname")
    relay.close()
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(protocol.released.wait(), RELEASE_SEC)
    return f"[{relay_host}]:{relay_port}" if ":" in relay_host else f"{relay_host}:{relay_port}"
