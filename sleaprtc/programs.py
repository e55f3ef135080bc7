"""Commands that end an interrupt with one word and exit status 130, and that print in any locale."""

from __future__ import annotations

import io
import sys
from typing import Any

import click

from .errors import EXIT_INTERRUPTED


class _Interruptible(click.Command):
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program of which this is the outermost command."""
        _replace_what_cannot_be_shown()
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; click itself would say "Aborted!" and return 1."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Error: Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


class Program(_Interruptible):
    """A program without subcommands."""


class ProgramGroup(_Interruptible, click.Group):
    """A program with subcommands."""


def _replace_what_cannot_be_shown() -> None:
    """Lets a character that the locale hasn't, or a file name that isn't text, be a question mark.

    Otherwise it would end the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
