"""Lines, for logs, pipes and narrow terminals."""

from __future__ import annotations

import time
from typing import Final, TextIO

from rich.console import Console

from ...protocol.limits import MIB
from ...terminal import printable
from ..events import (
    Answered,
    Completed,
    Connected,
    Event,
    Notice,
    StatusChanged,
    Transferred,
    WorkerLost,
    WorkersFound,
)
from .tables import answers_table
from .words import completion_lines, connected_line, status_sentence

PLAIN_TRANSFER_INTERVAL_SEC: Final = 5.0


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
            sentence = status_sentence(event)
            if sentence != self._last_status:
                self._last_status = sentence
                self._say(sentence)
        else:
            show_common(self._console, event)

    def _show_transfer(self, event: Transferred) -> None:
        now = time.monotonic()
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


def show_common(console: Console, event: Event) -> None:
    """Prints the events that look alike with and without a terminal."""
    if isinstance(event, WorkersFound):
        count = len(event.workers)
        names = ", ".join(printable(worker.worker) for worker in event.workers)
        if count:
            console.print(f"{count} worker{'s fit' if count > 1 else ' fits'}: {names}.", soft_wrap=True)
    elif isinstance(event, Answered):
        console.print(answers_table(event))
    elif isinstance(event, Connected):
        console.print(connected_line(event), soft_wrap=True)
    elif isinstance(event, WorkerLost):
        console.print(f"{printable(event.message)} Trying another worker.", soft_wrap=True)
    elif isinstance(event, Notice):
        console.print(printable(event.message), soft_wrap=True)
    elif isinstance(event, Completed):
        for line in completion_lines(event):
            console.print(line, soft_wrap=True)
