"""Where text goes."""

from __future__ import annotations

from typing import Any

from rich.console import Console


class PlainConsole(Console):
    """A console that takes text as it is, and leaves it to its user what follows where nobody reads it.

    Rich's own ends the process with status 1, and the job that it has under way with it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, **options)

    def on_broken_pipe(self) -> None:
        """Lets the error pass.

        Raises:
            BrokenPipeError: It's called while that is handled.
        """
        raise
