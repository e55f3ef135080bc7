"""A job in a Jupyter notebook: curves that are redrawn in place, and lines below them."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Final

from rich.console import Console, RenderableType

from .live import TerminalDisplay

COLUMNS: Final = 100
ROWS: Final = 24
REDRAW_INTERVAL_SEC: Final = 0.4
"""Less than the half second after which a slow transfer has something new, so that each is drawn."""

PAGE: Final = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace\">{code}</pre>"
)


class NotebookArea:
    """An output of a cell that is replaced as a whole.

    Args:
        render: Makes what is shown, of a width and a height.
    """

    def __init__(self, render: Callable[[int, int], RenderableType | None]) -> None:
        from IPython.display import HTML, display

        self._html: Callable[[str], object] = HTML
        self._render = render
        self._output = display(HTML(""), display_id=True)
        self._next_redraw_sec = 0.0

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Draws what has changed in the block, unless it was drawn a moment before."""
        yield
        if time.monotonic() >= self._next_redraw_sec:
            self.redraw()

    def redraw(self) -> None:
        """Draws what ``render`` gives now."""
        self._next_redraw_sec = time.monotonic() + REDRAW_INTERVAL_SEC
        shown = self._render(COLUMNS, ROWS)
        if shown is not None:
            self.keep(shown)

    def keep(self, shown: RenderableType) -> None:
        """Draws something that stays until there is something else to draw."""
        page = _console(io.StringIO(), record=True)
        page.print(shown)
        self._output.update(self._html(page.export_html(inline_styles=True, code_format=PAGE)))


def _console(file: IO[str], *, record: bool) -> Console:
    return Console(
        file=file,
        record=record,
        width=COLUMNS,
        height=ROWS,
        force_jupyter=False,
        force_terminal=record,
        highlight=False,
        markup=False,
    )


@contextmanager
def open_notebook_display() -> Iterator[TerminalDisplay]:
    """Shows events in the cell that is run until the block is left."""
    display = TerminalDisplay(_console(sys.stdout, record=False))
    area = NotebookArea(display.render)
    display.use(area)
    try:
        yield display
    finally:
        area.redraw()
