"""Bars and tables on a terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column
from rich.text import Text

from ...protocol.limits import MIB
from ...terminal import printable
from ..events import Completed, Event, StatusChanged, Transferred
from .plain import show_common
from .words import status_sentence

BAR_WIDTH: Final = 20


class TerminalDisplay:
    """Bars for transfers and for training, tables for workers and answers."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._transfers: dict[tuple[str, str], TaskID] = {}
        self._training: TaskID | None = None

    def show(self, event: Event) -> None:
        """Draws an event."""
        if isinstance(event, Transferred):
            self._show_transfer(event)
        elif isinstance(event, StatusChanged):
            self._show_status(event)
        else:
            if isinstance(event, Completed) and self._training is not None:
                self._progress.remove_task(self._training)
            show_common(self._console, event)

    def _show_transfer(self, event: Transferred) -> None:
        key = (event.direction, event.name)
        if key not in self._transfers:
            verb = "Sending" if event.direction == "send" else "Receiving"
            self._transfers[key] = self._progress.add_task(
                f"{verb} {printable(event.name)}", total=event.size_bytes, is_transfer=True
            )
        task = self._transfers[key]
        self._progress.update(task, completed=event.received_bytes)
        if event.received_bytes >= event.size_bytes:
            verb = "Sent" if event.direction == "send" else "Received"
            self._progress.remove_task(self._transfers.pop(key))
            self._console.print(
                f"{verb} {printable(event.name)} ({event.size_bytes / MIB:.1f} MiB).", soft_wrap=True
            )

    def _show_status(self, event: StatusChanged) -> None:
        if event.status == "receiving":
            return  # the transfer's own bar shows it
        if self._training is None:
            self._training = self._progress.add_task("Training", total=1.0, is_transfer=False)
        self._progress.update(self._training, completed=event.progress, description=status_sentence(event))


class _AmountColumn(DownloadColumn):
    """Bytes for a transfer, percent for training."""

    def render(self, task: Task) -> Text:
        if task.fields.get("is_transfer"):
            return super().render(task)
        return Text(f"{task.percentage:.0f} %")


class _RateColumn(ProgressColumn):
    """The rate of a transfer; training has none."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not task.fields.get("is_transfer") or speed is None:
            return Text()
        return Text(f"{speed / MIB:.1f} MiB/s")


def progress_bar(console: Console) -> Progress:
    """Bars for transfers and for training."""
    return Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=BAR_WIDTH),
        _AmountColumn(binary_units=True),
        _RateColumn(),
        TimeRemainingColumn(),
        console=console,
        expand=True,
    )
