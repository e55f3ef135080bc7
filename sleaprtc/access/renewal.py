"""Keeps a room that was made on this machine open for as long as it is needed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

import trio

from ..errors import NetworkError, ProtocolError, RateLimitedError, RefusedError
from ..protocol.limits import ROOM_TTL_SEC
from ..signaling.http import Account, Endpoints, Room, open_http

RETRY_SEC: Final = 30.0

_log = logging.getLogger(__name__)


def seconds_until_renewal(expires_at: float | None, now: float) -> float:
    """Returns half of the time left, so that one failed renewal does no harm."""
    left = ROOM_TTL_SEC if expires_at is None else expires_at - now
    return max(left / 2, 1.0)


async def keep_room_open(
    endpoints: Endpoints,
    account: Account,
    room: Room,
    on_renewal: Callable[[Account], None] = lambda _: None,
) -> None:
    """Renews the room and the account's token until cancelled, or until the server refuses.

    A room that can't be renewed any more ends at its time; the server notifies everyone in it.

    Args:
        endpoints: The signaling server.
        account: The account that made the room.
        room: The room.
        on_renewal: Called with the account and its new token.
    """
    expires_at = room.expires_at
    while True:
        await trio.sleep(seconds_until_renewal(expires_at, time.time()))
        try:
            async with open_http(endpoints.http_url, endpoints.ca_file) as http:
                account = await http.sign_in(account)
                expires_at = await http.renew_room(account, room.room_id)
            on_renewal(account)
        except (NetworkError, ProtocolError, RateLimitedError) as error:
            _log.warning("The room couldn't be renewed: %s", error)
            await trio.sleep(RETRY_SEC)
        except RefusedError as error:
            _log.warning("The room can't be renewed any more: %s", error)
            return
