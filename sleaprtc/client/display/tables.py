"""Tables of workers, of their answers, and of jobs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich.cells import cell_len
from rich.console import Console, OverflowMethod
from rich.table import Column, Table

from ...base.printable import printable
from ...jobs.life import Seen
from ..events.job import Answered, WorkerSummary
from ..records.files import JobRecord
from ..records.job_ids import short_id
from .console import PlainConsole
from .job_lines import ago_text, clock_text, seen_words
from .words import duration_text, memory_text, verdict

PIPE_WIDTH: Final = 160
"""The width without a terminal."""

_LEAST_WIDTHS: Final = {"result": 110, "last seen": 90, "worker": 64}
"""The width from which on a list of jobs has each of these columns."""

_EMPTY: Final = frozenset({"", "?"})
"""Cells that say nothing."""

_ENOUGH: Final = 20
"""What a cell needs at the most, of the width; where there is more room, it gets more."""


def workers_table(workers: tuple[WorkerSummary, ...], width: int | None = None) -> Table:
    """Lays out workers in ``width`` columns of text; by default, in the terminal's width."""
    columns = {
        "worker": [worker.worker for worker in workers],
        "GPU": [worker.gpu_model or "?" for worker in workers],
        "memory": [memory_text(worker.gpu_memory_mb) for worker in workers],
        "sleap-nn": [worker.sleap_version or "?" for worker in workers],
        "torch on": [worker.torch_device or "?" for worker in workers],
        "status": [worker.status or "?" for worker in workers],
        "models": [" ".join(worker.supported_models) for worker in workers],
    }
    # what is wrong with torch or sleap-nn is said below the table
    spare = ("torch on", "models", "sleap-nn", "memory", "GPU")
    return _narrowed(columns, spare, _width() if width is None else width, wrapping=("GPU", "models"))


def _narrowed(
    columns: dict[str, list[str]], spare: Sequence[str], width: int, *, wrapping: Sequence[str]
) -> Table:
    """Lays out a table whose first column, workers' names, is never cut.

    Args:
        columns: The cells by their columns' names.
        spare: Columns that a narrow terminal can do without, the first to go first.
        width: Of the terminal.
        wrapping: Columns whose cells may be broken between words; the others count with their whole cells.
    """
    shown = {name: [printable(cell) for cell in cells] for name, cells in columns.items()}
    first = next(iter(shown))
    whole = {name: max(map(cell_len, (name, *cells))) for name, cells in shown.items()}
    needed = dict(whole)
    for name in shown.keys() - {first}:
        parts = " ".join((name, *shown[name])).split() if name in wrapping else (name, *shown[name])
        needed[name] = min(max(map(cell_len, parts)), _ENOUGH)
    for name in spare:
        if name in shown and _left_over(width, needed, shown) < 0:
            del shown[name]
    left_over = _left_over(width, needed, shown)
    widths = {first: max(1, needed[first] + min(left_over, 0))}
    for name in list(shown)[1:]:
        more = min(whole[name] - needed[name], max(left_over, 0))
        widths[name] = needed[name] + more
        left_over -= more
    # told each width, the library takes nothing from any
    table = Table()
    for name in shown:
        is_wrapping = name in (first, *wrapping)
        overflow: OverflowMethod = "fold" if is_wrapping else "ellipsis"
        table.add_column(name, width=widths[name], no_wrap=not is_wrapping, overflow=overflow)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def _left_over(width: int, needed: dict[str, int], names: Iterable[str]) -> int:
    """What a terminal has left beside such columns, with their rules and padding; negative where it lacks."""
    return width - 1 - sum(needed[name] + 3 for name in names)


def jobs_table(records: list[JobRecord]) -> Table:
    """Lays out the jobs that were started here, with the last state of those that aren't over.

    A narrow terminal gets fewer columns, and ids that can be copied all the same.
    """
    now = time.time()
    columns: dict[str, Callable[[JobRecord], str]] = {
        "job": lambda record: short_id(record.job_id),
        "started": lambda record: clock_text(record.started_at, now),
        "dataset": lambda record: record.dataset.rpartition("/")[2],
        "worker": lambda record: record.worker,
        "state": lambda record: record.state if record.purged_at is None else f"{record.state}, purged",
        "last seen": lambda record: _last_seen(record, now),
        "result": _result_place,
    }
    for name, least_width in _LEAST_WIDTHS.items():
        if _width() < least_width:
            del columns[name]
    unbroken = ("job", "started", "state")
    table = Table(
        *(Column(name, no_wrap=name in unbroken, min_width=8 if name == "job" else None) for name in columns)
    )
    for record in records:
        table.add_row(*(printable(cell(record)) for cell in columns.values()))
    return table


def _result_place(record: JobRecord) -> str:
    """Returns where a job's result is: a single one's path, or the folder of several."""
    return os.path.commonpath(record.result_paths) if record.results else ""


def _last_seen(record: JobRecord, now: float) -> str:
    """Returns why a job ended as it did, or why its result isn't here; else the last that was seen of it."""
    if record.is_over or record.state == Seen.NOT_FETCHED:
        return record.message
    words = seen_words(record.last_status)
    if not words or record.last_seen_at is None:
        return words
    return f"{words} ({ago_text(record.last_seen_at, now)})"


def _width() -> int:
    return Console().width if sys.stdout.isatty() else PIPE_WIDTH


def print_table(table: Table) -> None:
    """Prints a table on standard output; without a terminal, cells aren't wrapped."""
    PlainConsole(width=_width()).print(table)


def answers_table(event: Answered, width: int) -> Table:
    """Lays out the workers' answers and the chosen worker, without empty columns."""
    answers = event.answers
    starts_sec = [answer.estimated_start_time_sec for answer in answers]
    columns = {
        "worker": [answer.worker for answer in answers],
        "answer": [verdict(answer) for answer in answers],
        "starts in": ["" if start is None else f"{start:.0f} s" for start in starts_sec],
        "takes about": [
            duration_text(answer.estimated_duration_minutes) if answer.accepted else "" for answer in answers
        ],
        "free memory": [
            memory_text(answer.available_memory_mb) if answer.accepted else "" for answer in answers
        ],
        "": ["chosen" if answer.worker == event.chosen else "" for answer in answers],
    }
    told = {
        name: cells for name, cells in columns.items() if name == "worker" or not _EMPTY.issuperset(cells)
    }
    return _narrowed(told, ("free memory", "starts in", "takes about"), width, wrapping=("answer",))
