"""How long a receiver waits for bytes of a file that it has accepted."""

from __future__ import annotations

from typing import Final

from ..errors import SenderStalledError
from .names import printable
from .sending import STALL_TIMEOUT_SEC

MIN_BYTES_PER_SEC: Final = 1024
"""On average. A poor home line, of 100 kbit/s, brings twelve times as much."""

PACE_WINDOW_SEC: Final = 600.0
"""What that average is taken over, so that a line may be down now and then, and a connection made anew."""


class Pace:
    """Adds up how long was waited for bytes, and how many came: window after window of waiting.

    Time in which nobody waits, as while this side writes to its disk, doesn't count.
    """

    def __init__(self) -> None:
        self._waited_sec = 0.0
        self._arrived_bytes = 0

    @property
    def left_sec(self) -> float:
        """How long may be waited until the window is over."""
        return PACE_WINDOW_SEC - self._waited_sec

    def add(self, waited_sec: float, arrived_bytes: int) -> None:
        """Counts a wait, and the bytes that have come since the last one.

        Raises:
            SenderStalledError: A window is over, and too few bytes came in it.
        """
        self._waited_sec += waited_sec
        self._arrived_bytes += arrived_bytes
        if self._waited_sec < PACE_WINDOW_SEC:
            return
        bytes_per_sec = self._arrived_bytes / self._waited_sec
        self._waited_sec, self._arrived_bytes = 0.0, 0
        if bytes_per_sec < MIN_BYTES_PER_SEC:
            raise SenderStalledError(
                f"The other side has sent {bytes_per_sec:.0f} bytes a second for {PACE_WINDOW_SEC / 60:.0f} "
                f"minutes; the least is {MIN_BYTES_PER_SEC}."
            )


def stall_deadline(waiting_since_sec: float, last_arrival_sec: float) -> float:
    """Returns when a wait for bytes has been in vain; all times are those of one clock."""
    return max(waiting_since_sec, last_arrival_sec) + STALL_TIMEOUT_SEC


def stalled(name: str) -> SenderStalledError:
    """Makes the error for a file of which nothing came until then."""
    return SenderStalledError(
        f"The other side has sent nothing of {printable(name)} for {STALL_TIMEOUT_SEC:g} seconds."
    )
