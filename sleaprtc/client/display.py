"""How a job looks: JSON lines, plain lines, or bars and tables on a terminal.

Text that comes from others is shown without its control characters.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

import trio
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
from rich.table import Column, Table
from rich.text import Text

from ..protocol.limits import MIB
from ..terminal import printable
from .events import (
    Answered,
    AnswerSummary,
    Completed,
    Connected,
    Emit,
    Event,
    Notice,
    StatusChanged,
    Transferred,
    WorkerLost,
    WorkersFound,
    WorkerSummary,
    as_json_object,
)
from .records import JobRecord

BAR_WIDTH: Final = 20
NARROW_COLUMNS: Final = 70
"""Below this width a bar has no room beside what it is about: plain lines say more."""

PLAIN_TRANSFER_INTERVAL_SEC: Final = 5.0


def _memory(memory_mb: float | None) -> str:
    if not memory_mb:
        return "?" if memory_mb is None else "-"
    return f"{memory_mb:,.0f} MiB"


def _minutes(minutes: float | None) -> str:
    if minutes is None:
        return "?"
    return f"{minutes * 60:.0f} s" if minutes < 1 else f"{minutes:.0f} min"


def _loss(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"


def _verdict(answer: AnswerSummary) -> str:
    if answer.accepted is None:
        return "no answer"
    return "accepts" if answer.accepted else f"refuses: {printable(answer.reason or 'no reason given')}"


def workers_table(workers: tuple[WorkerSummary, ...]) -> Table:
    """Lays out workers as discovery shows them."""
    table = Table("worker", "GPU", "memory", "sleap-nn", "status", "models")
    for worker in workers:
        table.add_row(
            *(
                printable(cell)
                for cell in (
                    worker.worker,
                    worker.gpu_model or "?",
                    _memory(worker.gpu_memory_mb),
                    worker.sleap_version or "?",
                    worker.status or "?",
                    " ".join(worker.supported_models),
                )
            )
        )
    return table


def jobs_table(records: list[JobRecord]) -> Table:
    """Lays out the jobs that were begun here."""
    table = Table("job", "begun", "dataset", "worker", "state", "models")
    for record in records:
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started_at))
        dataset = record.dataset.rpartition("/")[2]
        cells = (record.job_id[:8], begun, dataset, record.worker, record.state, record.out_dir)
        table.add_row(*(printable(cell) for cell in cells))
    return table


def print_table(table: Table) -> None:
    """Prints a table on standard output, without wrapping its cells where nobody looks at a terminal."""
    width = None if sys.stdout.isatty() else 160
    Console(highlight=False, markup=False, width=width).print(table)


def _answers_table(event: Answered) -> Table:
    table = Table("worker", "answer", "starts in", "takes about", "free memory", "")
    for answer in event.answers:
        start = answer.estimated_start_time_sec
        table.add_row(
            printable(answer.worker),
            _verdict(answer),
            "" if start is None else f"{start:.0f} s",
            _minutes(answer.estimated_duration_minutes) if answer.accepted else "",
            _memory(answer.available_memory_mb) if answer.accepted else "",
            "chosen" if answer.worker == event.chosen else "",
        )
    return table


def _status_sentence(event: StatusChanged) -> str:
    if event.current_epoch is None:
        return printable(event.message or event.status)
    model = f"{printable(event.model)}: " if event.model else ""
    val = f", validation {_loss(event.val_loss)}" if event.val_loss is not None else ""
    remaining = event.estimated_remaining_minutes
    left = f", about {_minutes(remaining)} left" if remaining is not None else ""
    return (
        f"{model}epoch {event.current_epoch}/{event.total_epochs or '?'}, "
        f"loss {_loss(event.current_loss)}{val}{left}"
    )


def _connected_line(event: Connected) -> str:
    way = {"direct": "directly", "relayed": "through a relay", None: ""}.get(event.path, event.path)
    engine = f"by {event.engine}" if event.engine else ""
    details = ", ".join(part for part in (way, engine) if part)
    return f"Connected to {printable(event.worker)}{f' ({details})' if details else ''}."


def _completion_lines(event: Completed) -> list[str]:
    device = f" on {printable(event.device)}" if event.device else ""
    loss = f", loss {_loss(event.final_loss)}" if event.final_loss is not None else ""
    time_taken = _minutes(event.training_duration_minutes)
    return [
        f"Trained by {printable(event.worker)}{device}: "
        f"{event.total_epochs or '?'} epochs in {time_taken}{loss}.",
        *(f"Model: {path}" for path in event.model_dirs),
    ]


class JSONDisplay:
    """One JSON object a line on standard output."""

    def show(self, event: Event) -> None:
        """Prints an event."""
        print(json.dumps(as_json_object(event), allow_nan=False), flush=True)


class PlainDisplay:
    """A line for each thing that happens, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._console = Console(file=stream, force_terminal=False, width=120, highlight=False, markup=False)
        self._last_status = ""
        self._last_transfer_sec = float("-inf")

    def show(self, event: Event) -> None:
        """Prints what is new in an event."""
        if isinstance(event, Transferred):
            self._show_transfer(event)
        elif isinstance(event, StatusChanged):
            sentence = _status_sentence(event)
            if sentence != self._last_status:
                self._last_status = sentence
                self._say(sentence)
        else:
            show_common(self._console, event)

    def _show_transfer(self, event: Transferred) -> None:
        now = trio.current_time()
        is_done = event.received_bytes >= event.size_bytes
        if not is_done and now - self._last_transfer_sec < PLAIN_TRANSFER_INTERVAL_SEC:
            return
        self._last_transfer_sec = now
        verb = "Sent" if event.direction == "send" else "Received"
        self._say(
            f"{verb} {event.received_bytes / MIB:.1f} of {event.size_bytes / MIB:.1f} MiB "
            f"of {printable(event.name)}."
        )

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


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
        self._progress.update(self._training, completed=event.progress, description=_status_sentence(event))


def show_common(console: Console, event: Event) -> None:
    """Prints the events that look alike with and without a terminal."""
    if isinstance(event, WorkersFound):
        count = len(event.workers)
        names = ", ".join(printable(worker.worker) for worker in event.workers)
        if count:
            console.print(f"{count} worker{'s fit' if count > 1 else ' fits'}: {names}.", soft_wrap=True)
    elif isinstance(event, Answered):
        console.print(_answers_table(event))
    elif isinstance(event, Connected):
        console.print(_connected_line(event), soft_wrap=True)
    elif isinstance(event, WorkerLost):
        console.print(f"{printable(event.message)} Trying another worker.", soft_wrap=True)
    elif isinstance(event, Notice):
        console.print(printable(event.message), soft_wrap=True)
    elif isinstance(event, Completed):
        for line in _completion_lines(event):
            console.print(line, soft_wrap=True)


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


def _progress_bar(console: Console) -> Progress:
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


@contextmanager
def open_display(*, as_json: bool) -> Iterator[Emit]:
    """Chooses the display and shows events with it until the block is left."""
    if as_json:
        yield JSONDisplay().show
    elif sys.stdout.isatty() and (console := Console(highlight=False, markup=False)).width >= NARROW_COLUMNS:
        with _progress_bar(console) as progress:
            yield TerminalDisplay(console, progress).show
    else:
        yield PlainDisplay(sys.stdout).show
