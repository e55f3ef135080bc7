"""A clock that stands still with its process: the time in which this process was awake.

A process that was suspended (Ctrl-Z, a closed lid, a paused machine), or that didn't get to run, has heard
nobody meanwhile. On an ordinary clock, all of its deadlines are over when it continues, before it has read
what waits in its sockets, and everybody else seems to have been silent. Programs therefore run under
``trio.run(main, clock=AwakeClock())``: every deadline, sleep and ``trio.current_time()``, in libraries too,
is on that clock. Times that others were told, such as a room's end, are wall-clock times beside it.

``CLOCK_MONOTONIC`` alone isn't such a clock: it keeps running while a process is stopped, and systems differ
in whether it keeps running while the machine is suspended.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs
import trio

TICK_SEC: Final = 0.5
"""The longest time between two readings of a process that is awake: Trio is woken this often."""

MOST_COUNTED_SEC: Final = 1.0
"""The most that counts between two readings. Whatever is longer was no waiting, but a standstill."""

STANDSTILL_SEC: Final = 5.0
"""A longer standstill is noted: others may have given this process up, and have to be looked for first."""


@attrs.define
class AwakeTime:
    """Counts the time awake from readings of an ordinary clock.

    Attributes:
        last_reading: The last reading, in seconds.
        awake_sec: The time awake so far.
        standstill_count: How many standstills were noted.
        standstill_sec: How long the last of them was.
    """

    last_reading: float
    awake_sec: float = 0.0
    standstill_count: int = 0
    standstill_sec: float = 0.0

    def read(self, reading: float) -> float:
        """Takes a reading, and returns the time awake. A reading before the last one counts as the same."""
        passed_sec = max(reading - self.last_reading, 0.0)
        self.last_reading += passed_sec
        self.awake_sec += min(passed_sec, MOST_COUNTED_SEC)
        if passed_sec > STANDSTILL_SEC:
            self.standstill_count += 1
            self.standstill_sec = passed_sec
        return self.awake_sec


def _clock_with_suspends() -> Callable[[], float]:
    """Returns a monotonic clock that keeps running while the machine is suspended, if there is one."""
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC"):  # Linux; macOS, whose time.monotonic() stands still
        number = getattr(time, name, None)
        if number is not None:
            return partial(time.clock_gettime, number)
    return time.monotonic


class AwakeClock(trio.abc.Clock):
    """Trio's clock for a program.

    Args:
        read: An ordinary monotonic clock, in seconds.
    """

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self._read = _clock_with_suspends() if read is None else read
        self._time = AwakeTime(self._read())

    @property
    def standstill_count(self) -> int:
        """How many standstills of more than :data:`STANDSTILL_SEC` there were."""
        return self._time.standstill_count

    @property
    def standstill_sec(self) -> float:
        """How long the last standstill was."""
        return self._time.standstill_sec

    def start_clock(self) -> None:
        """Begins; what passed since the clock was made doesn't count."""
        self._time = AwakeTime(self._read())

    def current_time(self) -> float:
        """Returns the time awake in seconds."""
        return self._time.read(self._read())

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Returns how long to sleep for a deadline: a tick at most, so that a standstill shows."""
        return min(max(deadline - self.current_time(), 0.0), TICK_SEC)


async def wait_standstill(longer_than_sec: float = STANDSTILL_SEC) -> float:
    """Waits until this process has stood still; returns for how long, in seconds.

    Under another clock than :class:`AwakeClock`, no standstill is ever noticed.

    Args:
        longer_than_sec: Shorter standstills are let pass; at least :data:`STANDSTILL_SEC`.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, AwakeClock):
        await trio.sleep_forever()
    assert isinstance(clock, AwakeClock)
    seen = clock.standstill_count
    while True:
        await trio.sleep(TICK_SEC)
        if clock.standstill_count != seen:
            seen = clock.standstill_count
            if clock.standstill_sec > longer_than_sec:
                return clock.standstill_sec
