"""The kinds of click commands that programs are: how they start, load their commands and end."""

from __future__ import annotations

import difflib
import importlib
import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import click
from click.core import ParameterSource

from ..base.sentences import as_sentence
from ..errors import EXIT_INTERRUPTED

FILE_ORIGIN: Final = "sleaprtc.file-origin"
"""The key in a context's ``meta`` of the function that finds a parameter's place in the settings files."""


class _Interruptible(click.Command):
    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the program whose outermost command this is."""
        _replace_what_cannot_be_shown()
        return super().main(*args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Parses the arguments, and what replaces them: environment and settings files."""
        with _naming_origins():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; on an interrupt, click itself would print "Aborted!" and exit with 1."""
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the subcommand that the arguments name; for one that is mistyped, names the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1) if args else []
            if not near or near[0] in error.message:
                raise
            meant = f"{as_sentence(error.message)} Did you mean {ctx.command_path} {near[0]}?"
            raise click.UsageError(meant, ctx) from error


class LazyCommand(NamedTuple):
    """Where a command is, and its line in the help."""

    module: str
    name: str
    help: str


class LazyGroup(ProgramGroup):
    """A program that imports a subcommand's module when that is asked for; its help imports none.

    Args:
        table: The subcommands, in the order of the help.
    """

    def __init__(self, *args: Any, table: Mapping[str, LazyCommand], **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the subcommands' names."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a subcommand; None if there is none of that name."""
        entry = self._table.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(entry.module), entry.name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of subcommands from the table; click's own would import them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._table.items()])


@contextmanager
def _naming_origins() -> Iterator[None]:
    """Adds to an error about a value where it was set, unless that is the command line."""
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
    """Prints a character that the locale lacks, or a file name that isn't text, as a question mark.

    Otherwise it would end the program.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
