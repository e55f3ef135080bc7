"""Lines, for logs, pipes and narrow terminals."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, TextIO

from rich.console import Console

from ...base.printable import printable
from ...base.sentences import as_sentence
from ..events.job import (
    Answered,
    Completed,
    Connected,
    Detached,
    Event,
    Failed,
    Notice,
    Retrying,
    StatusChanged,
    Transferred,
    Waiting,
    WorkerLost,
    WorkersFound,
)
from .console import PlainConsole
from .job_lines import course_line, detached_lines
from .report_table import show_report
from .tables import answers_table
from .transfer_view import TransferPace
from .words import completion_lines, connected_line, status_sentence, transfer_sentence, workers_lines

PLAIN_TRANSFER_INTERVAL_SEC: Final = 5.0
PLAIN_FRAMES_INTERVAL_SEC: Final = 5.0


class PlainDisplay:
    """Prints a line for each event, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._console = PlainConsole(file=stream, force_terminal=False, force_jupyter=False, width=120)
        self._last_status = ""
        self._last_transfer_sec = float("-inf")
        self._paces: dict[tuple[str, str], TransferPace] = {}
        self._next_frames_sec = float("-inf")

    def show(self, event: Event) -> None:
        """Prints what is new in an event."""
        if isinstance(event, Transferred):
            self._show_transfer(event)
        elif isinstance(event, StatusChanged):
            self._show_status(event)
        else:
            show_common(self._console, event)

    def _show_status(self, event: StatusChanged) -> None:
        sentence = status_sentence(event)
        now = time.monotonic()
        is_between = event.frames_done is not None and event.frames_done != event.total_frames
        if sentence == self._last_status or (is_between and now < self._next_frames_sec):
            return
        self._last_status = sentence
        if event.frames_done is not None:
            self._next_frames_sec = now + PLAIN_FRAMES_INTERVAL_SEC
        self._say(sentence)

    def _show_transfer(self, event: Transferred) -> None:
        now = time.monotonic()
        pace = self._paces.setdefault((event.direction, event.name), TransferPace())
        pace.see(event, now)
        is_done = event.received_bytes >= event.size_bytes
        is_due = now - self._last_transfer_sec >= PLAIN_TRANSFER_INTERVAL_SEC
        if is_done or (is_due and event.received_bytes > event.offset_bytes):
            self._last_transfer_sec = now
            self._say(transfer_sentence(event, None if is_done else pace.left_sec(now)))
        if is_done:
            del self._paces[event.direction, event.name]

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True)


def show_common(console: Console, event: Event) -> None:
    """Prints the events that look alike with and without a terminal."""
    if isinstance(event, Answered):
        console.print(answers_table(event, console.width))
    for line in _lines(event):
        console.print(line, soft_wrap=True)
    if isinstance(event, Completed):
        show_report(console, event.report)


def _lines(event: Event) -> Iterable[str]:
    if isinstance(event, WorkersFound):
        return workers_lines(event)
    if isinstance(event, Connected):
        return [connected_line(event)]
    if isinstance(event, WorkerLost):
        return [f"{as_sentence(printable(event.message))} Looking for another worker."]
    if isinstance(event, Notice):
        return [printable(event.message)]
    if isinstance(event, Completed):
        return completion_lines(event)
    if isinstance(event, Waiting | Retrying | Failed):
        return [course_line(event)]
    return detached_lines(event) if isinstance(event, Detached) else ()
