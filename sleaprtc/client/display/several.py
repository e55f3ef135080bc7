"""Shows several jobs at a time, each line with its dataset's name, and their results in a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import TextIOBase
from pathlib import Path
from typing import Final, TextIO

import attrs
from rich.table import Column, Table

from ...base.printable import printable
from ...protocol.vocabulary import Phase
from ..events.job import (
    Answered,
    Completed,
    Connected,
    Detached,
    Emit,
    Event,
    Failed,
    Notice,
    Retrying,
    StatusChanged,
    Transferred,
    Waiting,
    WorkersFound,
)
from ..jobs.several import Display, Outcome
from ..records.job_ids import short_id
from . import shows_curves
from .console import PlainConsole
from .job_lines import course_line
from .json_lines import SeveralJSON
from .plain import PlainDisplay
from .words import duration_text, loss_text

STATUS_INTERVAL_SEC: Final = 10.0
"""How often epochs of one of several jobs are shown, so that they don't drown the others."""


class _NamedLines(TextIOBase):
    """Writes lines to a stream, each behind a name."""

    def __init__(self, stream: TextIO, name: str) -> None:
        super().__init__()
        self._stream = stream
        self._name = name
        self._begun = ""

    def write(self, text: str) -> int:
        """Writes the lines that are complete so far."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._stream.write(f"{self._name}: {line}\n")
        return len(text)

    def flush(self) -> None:
        """Flushes what was written."""
        self._stream.flush()


class SeveralLines:
    """Lines for several jobs; some of the frequent ones are left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def for_job(self, dataset: Path) -> Emit:
        """Returns where the events of one job are shown."""
        named = _NamedLines(self._stream, printable(dataset.name))
        display = PlainDisplay(named)  # type: ignore[arg-type]  # of a text stream, rich writes alone
        told_at = float("-inf")

        def show(event: Event) -> None:
            nonlocal told_at
            if isinstance(event, StatusChanged) and event.current_epoch is not None:
                if time.monotonic() - told_at < STATUS_INTERVAL_SEC:
                    return
                told_at = time.monotonic()
            for shown in _in_short(event):
                display.show(shown)

        return show


def _in_short(event: Event) -> Iterator[Event]:
    """Leaves out what would be repeated for each job about the room and the start."""
    if isinstance(event, StatusChanged) and event.status in (Phase.STARTING, Phase.RECEIVING):
        return
    if isinstance(event, Detached):
        yield Notice(
            f"Job {short_id(event.job_id)} runs on {event.worker} and continues without this terminal."
        )
    elif isinstance(event, Answered):
        if event.chosen is not None:
            yield Notice(f"{event.chosen} takes it.")
    elif isinstance(event, Transferred):
        if event.received_bytes >= event.size_bytes:
            yield event
    elif isinstance(event, Completed):
        yield attrs.evolve(event, report=())  # the table at the end has a line for each job
    elif not isinstance(event, WorkersFound | Connected):
        yield event


class SeveralCurves:
    """Curves and bars for each worker, as for one job; what is said has the name of its dataset."""

    def __init__(self, show: Callable[[Event, str], None]) -> None:
        self._show = show

    def for_job(self, dataset: Path) -> Emit:
        """Returns where the events of one job are shown."""

        def show(event: Event) -> None:
            for shown in _in_short(event):
                if isinstance(shown, Notice | Waiting | Retrying | Failed):
                    words = shown.message if isinstance(shown, Notice) else course_line(shown)
                    shown = Notice(f"{dataset.name}: {words}")
                self._show(shown, dataset.name)

        return show


@contextmanager
def open_several_display(*, as_json: bool) -> Iterator[Display]:
    """Chooses the display of several jobs."""
    console = PlainConsole()
    if as_json:
        yield SeveralJSON()
    elif shows_curves(console):
        from .live import open_terminal_display

        with open_terminal_display(console) as display:
            yield SeveralCurves(display.show)
    else:
        yield SeveralLines(sys.stdout)


def next_commands() -> str:
    """Returns a line on what can be done with jobs that were left to their workers."""
    return "What you can do: sleap-rtc client status|logs|attach|fetch|stop|cancel JOB"


def outcomes_table(outcomes: Sequence[Outcome]) -> Table:
    """Lays out the results of several jobs."""
    job = Column("job", no_wrap=True, min_width=8)
    table = Table("dataset", job, "worker", "outcome", "loss", "took", "result")
    for outcome in outcomes:
        result, loss, took, where = outcome.result, "", "", ""
        if isinstance(result, Completed):
            word = "trained"
            loss = "" if result.final_loss is None else loss_text(result.final_loss)
            took = duration_text(result.training_duration_minutes)
            where = ", ".join(result.model_dirs)
        elif isinstance(result, Detached):
            word = "runs"
        else:
            word, where = "failed", str(outcome.error)
        job_id, worker = short_id(outcome.job_id or ""), outcome.worker or ""
        table.add_row(*map(printable, (outcome.dataset.name, job_id, worker, word, loss, took, where)))
    return table
