"""Curves, bars and tables on a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column

from ...protocol.limits import MIB
from ...terminal import printable
from ..events import Completed, Event, StatusChanged, Transferred, WorkerLost
from .job_view import BAR_WIDTH, JobView
from .live_area import LiveArea, open_live_area
from .plain import show_common

MAX_WIDTH: Final = 120
MAX_JOBS: Final = 100
"""A bound to what is kept, far above what a person looks at."""


class TerminalDisplay:
    """Curves and bars for jobs, bars for transfers, tables for answers.

    Made by :func:`open_terminal_display`.

    Args:
        console: A terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._area: LiveArea | None = None
        self._jobs: dict[str, JobView] = {}
        self._transfers = _transfer_bars(console)
        self._transfer_tasks: dict[tuple[str, str], TaskID] = {}

    def use(self, area: LiveArea) -> None:
        """Draws into an area, which draws what :meth:`render` gives."""
        self._area = area

    def show(self, event: Event) -> None:
        """Draws an event."""
        assert self._area is not None
        with self._area.changing():
            if isinstance(event, Transferred):
                self._show_transfer(event)
            elif isinstance(event, StatusChanged):
                self._show_status(event)
            else:
                if isinstance(event, Completed | WorkerLost):
                    self._end_job(event)
                show_common(self._console, event)

    def _show_transfer(self, event: Transferred) -> None:
        key = (event.direction, event.name)
        if key not in self._transfer_tasks:
            verb = "Sending" if event.direction == "send" else "Receiving"
            self._transfer_tasks[key] = self._transfers.add_task(
                f"{verb} {printable(event.name)}", total=event.size_bytes
            )
        task = self._transfer_tasks[key]
        self._transfers.update(task, completed=event.received_bytes)
        if event.received_bytes >= event.size_bytes:
            verb = "Sent" if event.direction == "send" else "Received"
            self._transfers.remove_task(self._transfer_tasks.pop(key))
            self._console.print(
                f"{verb} {printable(event.name)} ({event.size_bytes / MIB:.1f} MiB).", soft_wrap=True
            )

    def _show_status(self, event: StatusChanged) -> None:
        if event.status == "receiving":
            return  # the transfer's own bar shows it
        if event.worker in self._jobs or len(self._jobs) < MAX_JOBS:
            job = self._jobs.setdefault(event.worker, JobView(event.worker))
            job.see(event, time.monotonic())

    def _end_job(self, event: Completed | WorkerLost) -> None:
        """Leaves a job's figures above what is printed from now on."""
        job = self._jobs.pop(event.worker, None)
        width = min(self._console.width, MAX_WIDTH)
        figures = None if job is None else job.figures(width, self._console.height - 1)
        if figures is not None:
            self._console.print(figures)

    def render(self, width: int, height: int) -> RenderableType | None:
        """Makes what is to be seen now: figures first, which get what room the lines leave."""
        jobs = list(self._jobs.values())
        tasks = self._transfers.tasks
        if not jobs and not tasks:
            return None
        now_sec = time.monotonic()
        parts: list[RenderableType] = []
        room = (height - 1 - len(jobs) - len(tasks)) // max(len(jobs), 1)
        for job in jobs:
            figures = job.figures(min(width, MAX_WIDTH), room)
            if figures is not None:
                parts.append(figures)
            parts.append(job.line(min(width, MAX_WIDTH), now_sec))
        if tasks:
            bars = self._transfers.make_tasks_table(tasks)
            bars.width = min(width, MAX_WIDTH)
            parts.append(bars)
        return Group(*parts)


def _transfer_bars(console: Console) -> Progress:
    return Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=BAR_WIDTH),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        auto_refresh=False,
        expand=True,
    )


@contextmanager
def open_terminal_display(console: Console) -> Iterator[TerminalDisplay]:
    """Shows events at the bottom of a terminal until the block is left."""
    display = TerminalDisplay(console)
    with open_live_area(console, display.render) as area:
        display.use(area)
        yield display
