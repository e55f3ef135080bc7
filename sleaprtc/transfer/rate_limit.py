"""A limit on the bytes that a program sends, and on those that it receives, in a second."""

from __future__ import annotations

import math
from typing import Final

BURST_SEC: Final = 0.25
"""What wasn't used for so long may be sent at once, since timers aren't exact."""


class TokenBucket:
    """Says when the next bytes may go, at a rate that may change meanwhile. Pure: callers pass the time."""

    def __init__(self) -> None:
        self._free_at_sec = -math.inf

    def ready_at_sec(self) -> float:
        """From when on bytes may be sent."""
        return self._free_at_sec

    def take(self, byte_count: int, bytes_per_sec: float | None, now_sec: float) -> None:
        """Records bytes that are sent now, at the rate that holds now; None is no limit."""
        if bytes_per_sec is None:
            self._free_at_sec = -math.inf
            return
        began_sec = max(self._free_at_sec, now_sec - BURST_SEC)
        self._free_at_sec = began_sec + byte_count / bytes_per_sec


class RateLimit:
    """The limit of one program, which its transfers share. Each direction has all of it.

    Attributes:
        bytes_per_sec: The limit; None is none. It may change at any time.
    """

    def __init__(self, bytes_per_sec: float | None = None) -> None:
        self.bytes_per_sec = bytes_per_sec
        self._sending = TokenBucket()
        self._receiving = TokenBucket()
        self._receivers = 0

    def may_send_at_sec(self) -> float:
        """From when on the next bytes may be sent."""
        return -math.inf if self.bytes_per_sec is None else self._sending.ready_at_sec()

    def sent(self, byte_count: int, now_sec: float) -> None:
        """Records bytes that were sent."""
        self._sending.take(byte_count, self.bytes_per_sec, now_sec)

    def may_acknowledge_at_sec(self) -> float:
        """From when on a receiver acknowledges further bytes; its sender waits for that."""
        return -math.inf if self.bytes_per_sec is None else self._receiving.ready_at_sec()

    def received(self, byte_count: int, now_sec: float) -> None:
        """Records bytes that were received."""
        self._receiving.take(byte_count, self.bytes_per_sec, now_sec)

    def begin_receiving(self) -> None:
        """Counts a file that is being received: each gets its share of the limit."""
        self._receivers += 1

    def end_receiving(self) -> None:
        """Ends what :meth:`begin_receiving` began."""
        self._receivers -= 1

    @property
    def share_bytes_per_sec(self) -> int | None:
        """What the sender of one file is told, in whole bytes a second."""
        if self.bytes_per_sec is None:
            return None
        return max(int(self.bytes_per_sec / max(self._receivers, 1)), 1)
