"""``python -m sleaprtc.client``: makes rooms, finds workers, trains models, predicts."""

from __future__ import annotations

import logging
from typing import Final

import click

from ..config_options import config_file_option
from ..log_options import log_options, start_log
from ..programs import ProgramGroup
from .commands.asking import cancel, logs, status, stop
from .commands.common import HELP
from .commands.jobs import attach, fetch, jobs
from .commands.rooms import room
from .commands.track import track
from .commands.train import train
from .commands.workers import workers

COMMANDS: Final = (
    ("room", "create"),
    ("room", "renew"),
    ("workers",),
    ("train",),
    ("track",),
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
@log_options
def main(verbose: bool, log_format: str, log_level: str | None) -> None:
    """Make rooms, find workers, train models, predict with them."""
    start_log(log_format, log_level, logging.ERROR, verbose=verbose)


for command in (room, workers, train, track, jobs, status, logs, attach, fetch, stop, cancel):
    main.add_command(command)


if __name__ == "__main__":
    main()
