"""Curves, bars and tables on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType

from ...protocol.vocabulary import Phase
from ..events.job import Completed, Event, Failed, StatusChanged, Transferred, WorkerLost
from .job_view import JobView
from .live_area import open_live_area
from .plain import show_common
from .transfer_view import TransferView, transfers_table
from .words import arrival_sentence

MAX_WIDTH: Final = 120
MAX_JOBS: Final = 100
"""The most jobs that are kept, far more than anybody looks at."""


class Area(Protocol):
    """An area in which things are drawn in place."""

    def changing(self) -> AbstractContextManager[None]:
        """Lets the block change what is shown, or print; draws when the block is left."""

    def keep(self, shown: RenderableType) -> None:
        """Leaves something on the screen for later."""


class TerminalDisplay:
    """Curves and bars for jobs, bars for transfers, tables for answers.

    Made by :func:`open_terminal_display`.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._area: Area | None = None
        self._jobs: dict[str, JobView] = {}
        self._transfers: dict[tuple[str, str, str], TransferView] = {}

    def use(self, area: Area) -> None:
        """Draws into an area, which draws what :meth:`render` gives."""
        self._area = area

    def show(self, event: Event, job: str = "") -> None:
        """Draws an event; ``job`` names its job if there are several."""
        assert self._area is not None
        with self._area.changing():
            if isinstance(event, Transferred):
                self._show_transfer(event, job)
            elif isinstance(event, StatusChanged):
                self._show_status(event, job)
            else:
                if isinstance(event, Completed | WorkerLost | Failed):
                    self._end_job(job)
                show_common(self._console, event)

    def _show_transfer(self, event: Transferred, job: str) -> None:
        key = (job, event.direction, event.name)
        self._transfers.setdefault(key, TransferView()).see(event, time.monotonic())
        if event.received_bytes >= event.size_bytes:
            del self._transfers[key]
            self._console.print(arrival_sentence(event), soft_wrap=True)

    def _show_status(self, event: StatusChanged, job: str) -> None:
        if event.status == Phase.RECEIVING:
            return  # the transfer's own bar shows it
        if job in self._jobs or len(self._jobs) < MAX_JOBS:
            self._jobs.setdefault(job, JobView(job)).see(event, time.monotonic())

    def _end_job(self, job: str) -> None:
        """Leaves a job's figures above what is printed from now on."""
        ended = self._jobs.pop(job, None)
        width = min(self._console.width, MAX_WIDTH)
        figures = None if ended is None else ended.figures(width, self._console.height - 1)
        if figures is not None and self._area is not None:
            self._area.keep(figures)

    def render(self, width: int, height: int) -> RenderableType | None:
        """Returns what to show now: figures first, in the room that the lines leave."""
        jobs = list(self._jobs.values())
        transfers = list(self._transfers.values())
        if not jobs and not transfers:
            return None
        now_sec = time.monotonic()
        parts: list[RenderableType] = []
        room = (height - 1 - len(jobs) - len(transfers)) // max(len(jobs), 1)
        for job in jobs:
            figures = job.figures(min(width, MAX_WIDTH), room)
            if figures is not None:
                parts.append(figures)
            parts.append(job.line(min(width, MAX_WIDTH), now_sec))
        if transfers:
            parts.append(transfers_table(transfers, min(width, MAX_WIDTH), now_sec))
        return Group(*parts)


@contextmanager
def open_terminal_display(console: Console) -> Iterator[TerminalDisplay]:
    """Shows events at the bottom of a terminal until the block is left."""
    display = TerminalDisplay(console)
    with open_live_area(console, display.render) as area:
        display.use(area)
        yield display
