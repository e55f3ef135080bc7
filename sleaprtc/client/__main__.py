"""``python -m sleaprtc.client``: makes rooms, finds workers, trains models."""

from __future__ import annotations

import logging
from typing import Final

import click

from ..config_options import config_file_option
from ..programs import ProgramGroup
from ..terminal import log_to_standard_error
from .commands.asking import cancel, logs, status, stop
from .commands.common import HELP
from .commands.jobs import attach, fetch, jobs
from .commands.rooms import room
from .commands.train import train
from .commands.workers import workers

COMMANDS: Final = (
    ("room", "create"),
    ("room", "renew"),
    ("workers",),
    ("train",),
    ("jobs",),
    ("status",),
    ("logs",),
    ("attach",),
    ("fetch",),
    ("stop",),
    ("cancel",),
)


@click.group(cls=ProgramGroup, context_settings=HELP)
@config_file_option("client", subcommands=COMMANDS)
@click.option("-v", "--verbose", is_flag=True, help="Say more about what happens, on standard error.")
def main(verbose: bool) -> None:
    """Make rooms, find workers, train models."""
    log_to_standard_error(logging.DEBUG if verbose else logging.ERROR)


for command in (room, workers, train, jobs, status, logs, attach, fetch, stop, cancel):
    main.add_command(command)


if __name__ == "__main__":
    main()
