"""How long, and at what rate, a receiver waits for the bytes of a file that it has accepted."""

from __future__ import annotations

from typing import Final

from ..errors import SenderStalledError
from .names import printable
from .sending import STALL_TIMEOUT_SEC

MIN_BYTES_PER_SEC: Final = 1024
"""On average. Even a poor home line of 100 kbit/s is twelve times as fast."""

PACE_WINDOW_SEC: Final = 600.0
"""The average is over this much waiting, which leaves room for outages and new connections."""


class Pace:
    """Checks a sender's average rate, over one window of waiting after another.

    Only time spent waiting for bytes counts, not, for example, the time this side takes to write them.
    """

    def __init__(self) -> None:
        self._waited_sec = 0.0
        self._arrived_bytes = 0

    @property
    def left_sec(self) -> float:
        """How much more waiting ends the window."""
        return PACE_WINDOW_SEC - self._waited_sec

    def add(self, waited_sec: float, arrived_bytes: int) -> None:
        """Adds a wait, and the bytes that have arrived since the last one.

        Raises:
            SenderStalledError: The window is over, and too few bytes arrived in it.
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
                f"minutes; the minimum is {MIN_BYTES_PER_SEC}."
            )


def stall_deadline(waiting_since_sec: float, last_arrival_sec: float) -> float:
    """Returns the time at which a wait for bytes times out. All times are on the same clock."""
    return max(waiting_since_sec, last_arrival_sec) + STALL_TIMEOUT_SEC


def stalled(name: str) -> SenderStalledError:
    """Returns the error for a file of which nothing arrived by :func:`stall_deadline`."""
    return SenderStalledError(
        f"The other side has sent nothing of {printable(name)} for {STALL_TIMEOUT_SEC:g} seconds."
    )
