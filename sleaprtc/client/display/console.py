"""The console that text is printed to."""

from __future__ import annotations

from typing import Any

from rich.console import Console


class PlainConsole(Console):
    """A console that prints text as it is, and raises an error when nobody reads it.

    Rich's own ends the process with status 1, and the job that it has under way with it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, **options)

    def on_broken_pipe(self) -> None:
        """Lets the error propagate.

        Raises:
            BrokenPipeError: It's called while that is handled.
        """
        raise
