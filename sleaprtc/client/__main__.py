"""``python -m sleaprtc.client``: makes rooms, finds workers, trains models, predicts."""

from __future__ import annotations

import logging

import click

from ..commandline.log_options import log_options, start_log
from ..commandline.programs import ProgramGroup
from ..commandline.settings_option import config_file_option
from .commands.common import HELP
from .commands.jobs import attach, cancel, fetch, jobs, logs, status, stop
from .commands.rooms import room
from .commands.track import track
from .commands.train import train
from .commands.workers import workers


@click.group(cls=ProgramGroup, context_settings=HELP)
@config_file_option("client")
@click.option("-v", "--verbose", is_flag=True, help="Say more about what happens, on standard error.")
@log_options
def main(verbose: bool, log_format: str, log_level: str | None) -> None:
    """Make rooms, find workers, train models, predict with them."""
    start_log(log_format, log_level, logging.ERROR, verbose=verbose)


for command in (room, workers, train, track, jobs, status, logs, attach, fetch, stop, cancel):
    main.add_command(command)


if __name__ == "__main__":
    main()
