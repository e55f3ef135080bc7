"""Tables of workers, of their answers, and of jobs."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.table import Table

from ...terminal import printable
from ..events import Answered, WorkerSummary
from ..records import JobRecord
from .job_lines import ago_text, seen_words
from .words import duration_text, memory_text, verdict


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
    """Lays out the jobs that were begun here, and what was last seen of those that aren't over."""
    table = Table("job", "begun", "dataset", "worker", "state", "last seen", "result")
    for record in records:
        begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.started_at))
        dataset = record.dataset.rpartition("/")[2]
        seen = record.message if record.is_over else _last_seen(record)
        cells = (record.job_id[:8], begun, dataset, record.worker, record.state, seen, record.out_dir)
        table.add_row(*(printable(cell) for cell in cells))
    return table


def _last_seen(record: JobRecord) -> str:
    words = seen_words(record.last_status)
    if not words or record.last_seen_at is None:
        return words
    return f"{words} ({ago_text(record.last_seen_at, time.time())})"


def print_table(table: Table) -> None:
    """Prints a table on standard output, without wrapping its cells where nobody looks at a terminal."""
    width = None if sys.stdout.isatty() else 160
    Console(highlight=False, markup=False, width=width).print(table)


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
