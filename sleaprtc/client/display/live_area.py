"""The last lines of a terminal, redrawn in place, with everything that is printed going above them.

What rich's own ``Live`` lacks: lines that a terminal wrapped when it was made narrower are erased too, and
each drawing is one synchronized update, so that a terminal never shows half of it.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Final, TextIO, cast

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderableType, RenderHook, RenderResult
from rich.control import Control
from rich.file_proxy import FileProxy
from rich.segment import ControlType, Segment

REDRAW_INTERVAL_SEC: Final = 0.5
"""How long a countdown or a changed width may go unnoticed."""

MIN_INTERVAL_SEC: Final = 0.05
"""Statuses that were missed come by the thousand; nobody can see each of them."""

BEGIN_UPDATE: Final = "\x1b[?2026h"
END_UPDATE: Final = "\x1b[?2026l"
"""Synchronized output (terminal-wg specification); terminals that don't know the mode ignore it."""

ERASE_BELOW: Final = "\x1b[J"


class LiveArea(RenderHook):
    """Redraws what ``render`` gives. Made by :func:`open_live_area` only.

    Args:
        console: A terminal.
        render: Makes what is shown, of a width and a height that it's given and may use.
    """

    def __init__(self, console: Console, render: Callable[[int, int], RenderableType | None]) -> None:
        self._console = console
        self._render = render
        self._lock = threading.RLock()
        self._drawn_widths: list[int] = []
        self._drawn_at_sec = float("-inf")

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Changes what is shown, or prints, inside the block; draws it when it's left, or in a moment."""
        with self._lock:
            yield
            if time.monotonic() - self._drawn_at_sec >= MIN_INTERVAL_SEC:
                self.redraw()

    def printing(self) -> AbstractContextManager[object]:
        """Keeps the area from being drawn while the block prints: both begin by erasing it."""
        return self._lock

    def keep(self, shown: RenderableType) -> None:
        """Prints something above the area."""
        self._console.print(shown)

    def redraw(self) -> None:
        """Draws what ``render`` gives now."""
        with self._lock, self._console:
            self._console.print(Control())

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Puts what is printed where the area was, and the area below it; rich calls this."""
        with self._lock:
            erase = self._erase()
            return [_Codes(BEGIN_UPDATE + erase), *renderables, _Area(self._draw), _Codes(END_UPDATE)]

    def _draw(self) -> list[list[Segment]]:
        # not the options of what happens to be printed, which may be not to wrap
        options = self._console.options.update(height=None)
        width, height = options.max_width, options.size.height
        shown = self._render(width, height)
        lines: list[list[Segment]] = []
        if shown is not None:
            lines = self._console.render_lines(shown, options, pad=False)[-max(height - 1, 1) :]
        self._drawn_widths = [Segment.get_line_length(line) for line in lines]
        self._drawn_at_sec = time.monotonic()
        return lines

    def _erase(self) -> str:
        """Moves to where the area begins, over as many rows as it takes at the present width."""
        width = max(self._console.width, 1)
        rows = sum(max(-(-drawn // width), 1) for drawn in self._drawn_widths)
        up = f"\x1b[{rows - 1}A" if rows > 1 else ""
        return f"\r{up}{ERASE_BELOW}" if rows else ""

    def leave(self) -> None:
        """Leaves what is drawn on the screen."""
        with self._lock:
            if self._drawn_widths:
                self._drawn_widths = []
                self._render = lambda *_: None
                self._console.print()


class _Area:
    def __init__(self, draw: Callable[[], list[list[Segment]]]) -> None:
        self._draw = draw

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for number, line in enumerate(self._draw()):
            if number:
                yield Segment.line()
            yield from line


class _Codes:
    def __init__(self, codes: str) -> None:
        self._segment = Segment(codes, None, [(ControlType.BELL,)])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._segment


@contextmanager
def open_live_area(
    console: Console, render: Callable[[int, int], RenderableType | None]
) -> Iterator[LiveArea]:
    """Keeps an area at the bottom until the block is left, when it stays on the screen as it is then.

    What is written to standard output and standard error meanwhile appears above it.
    """
    area = LiveArea(console, render)
    over = threading.Event()

    def keep_drawing() -> None:
        with suppress(OSError):  # the terminal is gone, which whoever prints next is told
            while not over.wait(REDRAW_INTERVAL_SEC):
                area.redraw()

    clock = threading.Thread(target=keep_drawing, name="display", daemon=True)
    console.push_render_hook(area)
    console.show_cursor(False)
    clock.start()
    try:
        with _printing_above(console, area):
            yield area
    finally:
        over.set()
        clock.join()
        with suppress(OSError):
            area.redraw()
            area.leave()
        console.pop_render_hook()
        with suppress(OSError):
            console.show_cursor(True)


class _Stream(FileProxy):
    """A stream whose text is printed above an area, never between two steps of the area's own drawing."""

    def __init__(self, console: Console, file: TextIO, area: LiveArea) -> None:
        super().__init__(console, cast(IO[str], file))
        self._area = area

    def write(self, text: str) -> int:
        """Prints whole lines, and keeps the rest for later."""
        with self._area.printing():
            return super().write(text)

    def flush(self) -> None:
        """Prints what is left of a line."""
        with self._area.printing():
            super().flush()


@contextmanager
def _printing_above(console: Console, area: LiveArea) -> Iterator[None]:
    stdout, stderr = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Stream(console, stdout, area))
    if stderr.isatty():
        sys.stderr = cast(TextIO, _Stream(console, stderr, area))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = stdout, stderr
