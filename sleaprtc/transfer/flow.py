"""How many bytes of a file may be sent at a time, and when: by the path, the engine, and the limits."""

from __future__ import annotations

import math
from typing import Final

from ..rtc.channel import DataChannel
from .framing import Sender
from .path_window import PathWindow
from .rate_limit import RateLimit, SenderShare, TokenBucket, most_message_bytes

UNSENT_BYTES: Final = 64 * 1024
UNSENT_SEC: Final = 0.02
"""What waits in the engine, as bytes or as time at the present rate: enough to keep the engine busy while
Python waits for the processor. While the engine's own congestion control holds it back, more would wait in
vain, and control frames behind it."""

MOST_UNSENT_SEC: Final = 0.25
LEAST_UNSENT_BYTES: Final = 16 * 1024
"""On a slow line that would take long, and an abort waits in the queues of others already: the engine gets
less then, but always a few messages."""


def most_unsent_bytes(bytes_per_sec: float) -> float:
    """Returns how much may wait in the engine at a rate; 0 is one that isn't known yet."""
    if not bytes_per_sec:
        return UNSENT_BYTES
    slow_bytes = max(bytes_per_sec * MOST_UNSENT_SEC, LEAST_UNSENT_BYTES)
    return max(min(UNSENT_BYTES, slow_bytes), bytes_per_sec * UNSENT_SEC)


class Flow:
    """The flow of file bytes in one direction of a channel.

    Args:
        channel: The channel. Only its sizes are read.
        sender: The state of the file that is being sent.
        limit: The program's limit.
    """

    def __init__(self, channel: DataChannel, sender: Sender, limit: RateLimit) -> None:
        self._channel = channel
        self._sender = sender
        self._limit = limit
        self._share = SenderShare()
        self._window = PathWindow(message_bytes=channel.message_bytes)
        self._asked_bytes_per_sec: int | None = None
        self._asked = TokenBucket()

    def begin(self) -> None:
        """Begins to offer another file: nothing is in flight, and the other side hasn't asked for a limit."""
        self._window.forget(most_message_bytes=self._channel.message_bytes)
        self._asked_bytes_per_sec = None

    def next_bytes(self, left_bytes: int, now_sec: float) -> int:
        """Returns how many of ``left_bytes`` to send as the next message; 0 if none can be sent now."""
        if now_sec < self.waits_until_sec(now_sec):
            return 0
        if not self._sender.has_path_acks:
            byte_count = min(left_bytes, self._most_bytes(self._channel.message_bytes))
            return byte_count if byte_count <= self._sender.sendable_bytes else 0
        byte_count = min(left_bytes, self._most_bytes(self._window.message_bytes))
        if byte_count > self._sender.sendable_bytes:
            return 0
        is_held = self._channel.unsent_bytes > most_unsent_bytes(self._window.rate_bytes_per_sec)
        if is_held and self._window.in_flight_bytes:  # otherwise nothing would come that ends the wait
            return 0
        if self._window.sendable_bytes < byte_count:
            self._window.hold()
            return 0
        return byte_count

    def _most_bytes(self, message_bytes: int) -> int:
        """Keeps messages small enough for a low limit to be kept from second to second."""
        rates = (self._limit.bytes_per_sec, self._asked_bytes_per_sec)
        return min([message_bytes, *(most_message_bytes(rate) for rate in rates if rate is not None)])

    def waits_until_sec(self, now_sec: float) -> float:
        """The time until which a limit keeps everything back; minus infinity if none does."""
        asked_sec = -math.inf if self._asked_bytes_per_sec is None else self._asked.ready_at_sec()
        return max(self._limit.may_send_at_sec(self._share, now_sec), asked_sec)

    def sent(self, byte_count: int, now_sec: float) -> None:
        """Records a message, right before it is handed to the channel."""
        if self._sender.has_path_acks:
            self._window.sent(byte_count, now_sec, waiting_bytes=self._channel.unsent_bytes)
        self._limit.sent(self._share, byte_count, now_sec)
        self._asked.take(byte_count, self._asked_bytes_per_sec, now_sec)

    def wished(self, most_bytes_per_sec: int | None) -> None:
        """Records how fast the other side wants to receive; None is no limit."""
        self._asked_bytes_per_sec = most_bytes_per_sec

    def arrived(self, byte_count: int, now_sec: float) -> None:
        """Records bytes that have come to the other side."""
        if byte_count and self._sender.has_path_acks:
            self._window.arrived(byte_count, now_sec)
