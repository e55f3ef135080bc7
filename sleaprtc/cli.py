"""The ``sleap-rtc`` command: one name for all programs.

A program is imported when it is asked for, so that ``sleap-rtc --help`` stays instant.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final, NamedTuple

import click

from ._version import __version__
from .commandline.programs import ProgramGroup


class _Entry(NamedTuple):
    """Where a program's ``main`` is, and its line in the help."""

    module: str
    help: str


PROGRAMS: Final[Mapping[str, _Entry]] = {
    "server": _Entry("server.__main__", "Run a signaling server: rooms, discovery, routing."),
    "worker": _Entry("worker.__main__", "Offer this machine for training to the people in a room."),
    "client": _Entry("client.__main__", "Make rooms, find workers, train models."),
    "join": _Entry("programs.join", "Keep the room of an invite for later commands."),
    "config": _Entry("programs.config", "Show what is set, and where."),
    "completion": _Entry("programs.completion", "Print what a shell needs to complete our commands."),
    "doctor": _Entry("doctor.__main__", "Find out what is wrong here, and what to do about it."),
    "demo": _Entry("demo.__main__", "Run everything on this machine with a small synthetic recording."),
}


class _Programs(ProgramGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PROGRAMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = PROGRAMS.get(cmd_name)
        if entry is None:
            return None
        program = importlib.import_module(f"{__package__}.{entry.module}").main
        assert isinstance(program, click.Command)
        return program

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the program; of a command of the client's, it says where that is."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from .client.__main__ import main as client

            if args[0] not in client.commands:
                raise
            sentence = f"No such command {args[0]!r}. Did you mean: sleap-rtc client {args[0]}"
            raise click.UsageError(sentence, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of programs without importing them, which click's own would do."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in PROGRAMS.items()])


@click.command(cls=_Programs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sleap-rtc")
def main() -> None:
    """Train SLEAP pose-estimation models on a GPU in another room, over WebRTC."""
