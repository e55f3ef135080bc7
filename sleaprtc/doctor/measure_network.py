"""Asks the signaling server, and enters the room."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from ..errors import SleapRTCError
from ..signaling.http import Account, Endpoints, Health, Room, open_http

_HTTP_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
"""RFC 9110, section 5.6.7: the form that a server sends."""

DELETION_SEC: Final = 2.0


async def ask_health(endpoints: Endpoints) -> tuple[Health, float, float | None]:
    """Asks the server for its health.

    Returns:
        Its word, the round trip in milliseconds, and how many seconds this machine's clock is ahead of the
        server's, where that tells its time.

    Raises:
        SleapRTCError: As :meth:`sleaprtc.signaling.http.SignalingHTTP.health`.
    """
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        started, sent_at = time.perf_counter(), time.time()
        health = await http.health()
        round_trip_sec = time.perf_counter() - started
    return health, round_trip_sec * 1000, clock_error_sec(health.date, sent_at + round_trip_sec / 2)


def clock_error_sec(date: str | None, now: float) -> float | None:
    """Returns how far ``now`` (epoch seconds) is ahead of an HTTP date; None if that can't be read."""
    if date is None or _HTTP_DATE.fullmatch(date) is None:
        return None
    try:
        server_time = email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return now - (server_time + 0.5)  # the header has whole seconds, cut off


@asynccontextmanager
async def open_passing_room(endpoints: Endpoints, account: Account) -> AsyncIterator[Room]:
    """Opens a room for the duration of the block.

    Raises:
        SleapRTCError: The server doesn't make one.
    """
    async with open_http(endpoints.http_url, endpoints.ca_file) as http:
        room = await http.create_room(account)
        try:
            yield room
        finally:
            # where that fails, the room ends by itself
            with trio.move_on_after(DELETION_SEC, shield=True), suppress(SleapRTCError):
                await http.delete_room(account, room.room_id)
