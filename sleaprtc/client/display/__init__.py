"""How a job looks: JSON lines, plain lines, or bars and curves on a terminal.

Text that comes from others is shown without its control characters.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from ..events.job import Emit
from .console import PlainConsole
from .json_lines import JSONDisplay
from .plain import PlainDisplay
from .tables import jobs_table, print_table, workers_table

__all__ = ["JSONDisplay", "PlainDisplay", "jobs_table", "open_display", "print_table", "workers_table"]

NARROW_COLUMNS: Final = 70
"""Below this width there is no room for bars, and plain lines say more."""


@contextmanager
def open_display(*, as_json: bool, job_id: str | None = None) -> Iterator[Emit]:
    """Opens the display that suits the output, until the block is left.

    Args:
        as_json: Whether programs are to read it.
        job_id: The job that it is about, where that has been begun before.
    """
    if as_json:
        yield JSONDisplay(job_id=job_id).show
        return
    console = PlainConsole()
    if is_notebook():
        from .notebook import open_notebook_display

        with open_notebook_display() as display:
            yield display.show
    elif shows_curves(console):
        from .live import open_terminal_display

        with open_terminal_display(console) as display:
            yield display.show
    else:
        yield PlainDisplay(sys.stdout).show


def is_notebook() -> bool:
    """Whether output goes to a notebook: IPython's kernel is running."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return get_ipython is not None and "IPKernelApp" in getattr(get_ipython(), "config", {})


def shows_curves(console: Console) -> bool:
    """Whether this terminal can draw in place, and has the characters and the room for curves."""
    if not sys.stdout.isatty() or console.is_dumb_terminal or console.options.ascii_only:
        return False
    return console.width >= NARROW_COLUMNS
