"""Commands that end an interrupt with one word and exit status 130, and that print in any locale."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from click.core import ParameterSource

from ..base.sentences import as_sentence
from ..errors import EXIT_INTERRUPTED

FILE_ORIGIN: Final = "sleaprtc.file-origin"
"""Where a context's ``meta`` has what says on which line of which file a parameter's value stands."""


class _Interruptible(click.Command):
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program of which this is the outermost command."""
        _replace_what_cannot_be_shown()
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Reads the arguments, and what stands in their place."""
        with _naming_origins():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; click itself would say "Aborted!" and return 1."""
        try:
            with _naming_origins():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Error: Interrupted.", err=True)
            ctx.exit(EXIT_INTERRUPTED)


class Program(_Interruptible):
    """A program without subcommands."""


class ProgramGroup(_Interruptible, click.Group):
    """A program with subcommands."""


@contextmanager
def _naming_origins() -> Iterator[None]:
    """Says of a value that is wrong where it stands, if that isn't the command line."""
    try:
        yield
    except click.BadParameter as error:
        origin = _origin(error) if type(error) is click.BadParameter else None
        if origin is None or origin in error.message:
            raise
        sentence = f"{as_sentence(error.message)} That is what {origin} says."
        raise click.BadParameter(sentence, error.ctx, error.param, error.param_hint) from error


def _origin(error: click.BadParameter) -> str | None:
    if error.ctx is None or error.param is None or error.param.name is None:
        return None
    source = error.ctx.get_parameter_source(error.param.name)
    if source is ParameterSource.ENVIRONMENT:
        return str(error.param.envvar)
    in_file: Callable[[str], str | None] | None = error.ctx.meta.get(FILE_ORIGIN)
    if source is ParameterSource.DEFAULT_MAP and in_file is not None:
        return in_file(error.param.name)
    return None


def _replace_what_cannot_be_shown() -> None:
    """Lets a character that the locale hasn't, or a file name that isn't text, be a question mark.

    Otherwise it would end the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
