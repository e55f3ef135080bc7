"""The ``sleap-rtc`` command: one name for all programs.

A program is imported when it is asked for, so that ``sleap-rtc --help`` stays instant.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from ._version import __version__
from .programs import ProgramGroup

PROGRAMS: Final = {
    "server": "Run a signaling server: rooms, discovery, routing.",
    "worker": "Offer this machine for training to the people in a room.",
    "client": "Make rooms, find workers, train models.",
    "join": "Keep the room of an invite for later commands.",
    "config": "Show what is set, and where.",
    "completion": "Print what a shell needs to complete our commands.",
    "doctor": "Find out what is wrong here, and what to do about it.",
    "demo": "Run everything on this machine with a small synthetic recording.",
}
"""Subcommand to its line in the help; each is ``main`` in ``sleaprtc.NAME.__main__``."""


class _Programs(ProgramGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(PROGRAMS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in PROGRAMS:
            return None
        program = importlib.import_module(f"{__package__}.{cmd_name}.__main__").main
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
            formatter.write_dl(list(PROGRAMS.items()))


@click.command(cls=_Programs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sleap-rtc")
def main() -> None:
    """Train SLEAP pose-estimation models on a GPU in another room, over WebRTC."""
