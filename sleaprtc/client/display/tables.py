"""Tables of workers, of their answers, and of jobs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console
from rich.table import Column, Table

from ...terminal import printable
from ..events import Answered, WorkerSummary
from ..records import JobRecord
from .job_lines import ago_text, clock_text, seen_words
from .words import duration_text, memory_text, verdict

PIPE_WIDTH: Final = 160
"""Where nobody looks at a terminal."""

_LEAST_WIDTHS: Final = {"result": 110, "last seen": 90, "worker": 64}
"""From which width on a list of jobs has these columns."""


def workers_table(workers: tuple[WorkerSummary, ...]) -> Table:
    """Lays out workers as discovery shows them."""
    table = Table("worker", "GPU", "memory", "sleap-nn", "torch on", "status", "models")
    for worker in workers:
        table.add_row(
            *(
                printable(cell)
                for cell in (
                    worker.worker,
                    worker.gpu_model or "?",
                    memory_text(worker.gpu_memory_mb),
                    worker.sleap_version or "?",
                    worker.torch_device or "?",
                    worker.status or "?",
                    " ".join(worker.supported_models),
                )
            )
        )
    return table


def jobs_table(records: list[JobRecord]) -> Table:
    """Lays out the jobs that were begun here, and what was last seen of those that aren't over.

    A narrow terminal gets fewer columns, and ids that can be copied all the same.
    """
    now = time.time()
    columns: dict[str, Callable[[JobRecord], str]] = {
        "job": lambda record: record.job_id[:8],
        "begun": lambda record: clock_text(record.started_at, now),
        "dataset": lambda record: record.dataset.rpartition("/")[2],
        "worker": lambda record: record.worker,
        "state": lambda record: record.state,
        "last seen": lambda record: record.message if record.is_over else _last_seen(record, now),
        "result": lambda record: record.out_dir,
    }
    for name, least_width in _LEAST_WIDTHS.items():
        if _width() < least_width:
            del columns[name]
    unbroken = ("job", "begun", "state")
    table = Table(
        *(Column(name, no_wrap=name in unbroken, min_width=8 if name == "job" else None) for name in columns)
    )
    for record in records:
        table.add_row(*(printable(cell(record)) for cell in columns.values()))
    return table


def _last_seen(record: JobRecord, now: float) -> str:
    words = seen_words(record.last_status)
    if not words or record.last_seen_at is None:
        return words
    return f"{words} ({ago_text(record.last_seen_at, now)})"


def _width() -> int:
    return Console().width if sys.stdout.isatty() else PIPE_WIDTH


def print_table(table: Table) -> None:
    """Prints a table on standard output, without wrapping its cells where nobody looks at a terminal."""
    Console(highlight=False, markup=False, width=_width()).print(table)


def answers_table(event: Answered) -> Table:
    """Lays out what the workers answered, and which one was chosen."""
    table = Table("worker", "answer", "starts in", "takes about", "free memory", "")
    for answer in event.answers:
        start = answer.estimated_start_time_sec
        table.add_row(
            printable(answer.worker),
            verdict(answer),
            "" if start is None else f"{start:.0f} s",
            duration_text(answer.estimated_duration_minutes) if answer.accepted else "",
            memory_text(answer.available_memory_mb) if answer.accepted else "",
            "chosen" if answer.worker == event.chosen else "",
        )
    return table
