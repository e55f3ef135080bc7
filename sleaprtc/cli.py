"""The ``sleap-rtc`` command: one name for all programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from ._version import __version__
from .commandline.programs import LazyCommand, LazyGroup


def _program(module: str, help_line: str) -> LazyCommand:
    return LazyCommand(f"{__package__}.{module}", "main", help_line)


PROGRAMS: Final[Mapping[str, LazyCommand]] = {
    "server": _program("server.__main__", "Run a signaling server: rooms, discovery, routing."),
    "worker": _program("worker.__main__", "Offer this machine for training to the people in a room."),
    "client": _program("client.__main__", "Make rooms, find workers, train models."),
    "join": _program("programs.join", "Join the room of an invite, for all later commands."),
    "config": _program("programs.config", "Show what is set, and where."),
    "completion": _program("programs.completion", "Print a script with which a shell completes commands."),
    "doctor": _program("doctor.__main__", "Find out what is wrong here, and what to do about it."),
    "demo": _program("demo.__main__", "Run everything on this machine with a small synthetic recording."),
}


class _Programs(LazyGroup):
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the program; for the name of a client's command, the error says where that is."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            client = self.get_command(ctx, "client")
            if not isinstance(client, click.Group) or args[0] not in client.list_commands(ctx):
                raise
            sentence = f"No such command {args[0]!r}. Did you mean: sleap-rtc client {args[0]}"
            raise click.UsageError(sentence, ctx) from error


@click.command(cls=_Programs, table=PROGRAMS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sleap-rtc")
def main() -> None:
    """Train SLEAP pose-estimation models on a GPU in another room, over WebRTC."""
