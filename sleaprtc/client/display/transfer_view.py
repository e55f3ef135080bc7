"""How fast a file goes, how long it will take, and the line that shows both."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Final

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...base.printable import printable
from ...protocol.limits import MIB
from ..events.job import Direction, Transferred
from .words import amounts_text, clock_left_text

RATE_WINDOW_SEC: Final = 8.0
"""The rate is that of this long: long enough for receivers that write twice a second, and short enough to be
right soon after the path has changed."""

SILENCE_SEC: Final = 4.0
SILENCE_FACTOR: Final = 2.5
"""Nothing moves once nothing has arrived for this long, and for this many times the longest pause before:
receivers of other versions acknowledge each mebibyte only."""

BAR_WIDTH: Final = 20
LEAST_BAR_WIDTH: Final = 8
WORDS_WIDTH: Final = 66
"""What name, amounts, rate and time left take; a bar gets what is beyond that, and a little anyway."""


class TransferPace:
    """The rate of one file, and the time that the rest will take. Pure: callers pass the time."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, int]] = deque()
        self._offset_bytes = -1
        self._size_bytes = 0

    def see(self, event: Transferred, now_sec: float) -> None:
        """Records what has arrived. What was there before this transfer says nothing about the rate."""
        arrivals = self._arrivals
        is_another = event.offset_bytes != self._offset_bytes
        if is_another or (arrivals and event.received_bytes < arrivals[-1][1]):
            arrivals.clear()
            self._offset_bytes = event.offset_bytes
        self._size_bytes = event.size_bytes
        if arrivals and event.received_bytes == arrivals[-1][1]:
            return
        arrivals.append((now_sec, event.received_bytes))
        # One from before the window stays: the rate is measured from there.
        while len(arrivals) > 2 and arrivals[1][0] <= now_sec - RATE_WINDOW_SEC:
            arrivals.popleft()

    @property
    def bytes_per_sec(self) -> float | None:
        """The rate of the last seconds, until the last arrival; None while nothing has arrived."""
        if len(self._arrivals) < 2:
            return None
        (first_sec, first_bytes), (last_sec, last_bytes) = self._arrivals[0], self._arrivals[-1]
        return (last_bytes - first_bytes) / max(last_sec - first_sec, 1e-6)

    def left_sec(self, now_sec: float) -> float | None:
        """Returns the time that the rest will take from now on; None if that can't be known."""
        rate = self.bytes_per_sec
        if rate is None or self.silent_sec(now_sec):
            return None
        last_sec, last_bytes = self._arrivals[-1]
        return max((self._size_bytes - last_bytes) / rate - (now_sec - last_sec), 0.0)

    def silent_sec(self, now_sec: float) -> float:
        """Returns for how long nothing has arrived, or 0 while that is nothing unusual."""
        if not self._arrivals:
            return 0.0
        times = [arrived_sec for arrived_sec, _ in self._arrivals]
        longest_sec = max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)
        since_sec = now_sec - times[-1]
        return since_sec if since_sec >= max(SILENCE_SEC, longest_sec * SILENCE_FACTOR) else 0.0


class TransferView:
    """One file on its way, as a line with a bar."""

    def __init__(self) -> None:
        self._pace = TransferPace()
        self._event: Transferred | None = None

    def see(self, event: Transferred, now_sec: float) -> None:
        """Records an event with its time on a monotonic clock."""
        self._event = event
        self._pace.see(event, now_sec)

    def cells(self, bar_width: int, now_sec: float) -> list[RenderableType]:
        """Returns what the columns of :func:`transfers_table` show now.

        The amounts have so many digits that they move each second on the slowest of lines.
        """
        event = self._event
        if event is None:
            return []
        verb = "Sending" if event.direction == Direction.SEND else "Receiving"
        share = event.received_bytes / event.size_bytes if event.size_bytes else 1.0
        return [
            Text(f"{verb} {printable(event.name)}"),
            ProgressBar(total=1.0, completed=share, width=bar_width),
            amounts_text(event, between="/", digits=2),
            self._rate_text(now_sec),
            self._left_text(now_sec),
        ]

    def _rate_text(self, now_sec: float) -> str:
        rate = self._pace.bytes_per_sec
        is_known = rate is not None and not self._pace.silent_sec(now_sec)
        return f"{rate / MIB:.2f} MiB/s" if rate is not None and is_known else ""

    def _left_text(self, now_sec: float) -> str:
        silent_sec = self._pace.silent_sec(now_sec)
        if silent_sec:
            return f"silent for {silent_sec:.0f} s"
        left_sec = self._pace.left_sec(now_sec)
        return "" if left_sec is None else clock_left_text(left_sec)


def transfers_table(views: Sequence[TransferView], width: int, now_sec: float) -> Table:
    """Lays out the files on their way, one below the other."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.width = width
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for _ in range(4):
        table.add_column(no_wrap=True, justify="right")
    bar_width = max(min(width - WORDS_WIDTH, BAR_WIDTH), LEAST_BAR_WIDTH)
    for view in views:
        table.add_row(*view.cells(bar_width, now_sec))
    return table
