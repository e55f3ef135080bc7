"""Commands that end an interrupt with one word and exit status 130, at whatever moment it comes."""

from __future__ import annotations

from typing import Any

import click

from .errors import EXIT_INTERRUPTED


class _Interruptible(click.Command):
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
