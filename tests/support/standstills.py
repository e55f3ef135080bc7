"""A clock that a test puts forward, as if the process had stood still."""

from __future__ import annotations

import time

import attrs


@attrs.define
class Reading:
    """A real clock that can be put forward: what an ``AwakeClock`` reads."""

    ahead_sec: float = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_sec

    def stand_still(self, for_sec: float) -> None:
        """Lets time pass of which the process notices nothing."""
        self.ahead_sec += for_sec
