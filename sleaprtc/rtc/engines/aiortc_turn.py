"""Asks a TURN server to relay, with aioice's TURN client."""

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
"""How long the server keeps the allocation if the request to release it gets lost."""

RELEASE_SEC: Final = 1.0
"""How long to wait until the allocation is released."""


class _Allocation(asyncio.DatagramProtocol):
    """Receives relayed data, of which there is none, and notes when the allocation is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.released.set()


async def allocate(host: str, port: int, username: str, credential: str, transport: str, tls: bool) -> str:
    """The asyncio side of :func:`sleaprtc.rtc.turn.allocate`, which documents the arguments.

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
