"""``python -m sleaprtc.client``: makes rooms, finds workers, trains models, predicts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

import click

from ..commandline.log_options import log_options, start_log
from ..commandline.programs import LazyCommand, LazyGroup
from ..commandline.settings_option import config_file_option

_TABLE: Final = (
    ("attach", "jobs", "Follow JOB again: show what you missed, then its progress, and fetch its result."),
    ("cancel", "jobs", "End JOB and throw away everything it has made; its worker keeps nothing of it."),
    ("fetch", "jobs", "Fetch the result of JOB if it is finished; exit status 75 means that it isn't yet."),
    ("jobs", "jobs", "List the jobs that were started here, newest first, with what was last seen of each."),
    (
        "limit",
        "jobs",
        "Change the rate at which files of JOB, or of all jobs that are followed here, are transferred.",
    ),
    (
        "logs",
        "jobs",
        "Show JOB's messages, and the end of its trainer's output (lines that begin with |).",
    ),
    ("purge", "jobs", "Delete everything that JOB's worker has of it: dataset, result, log, notes."),
    ("room", "rooms", "Make rooms, in which workers and clients meet."),
    ("status", "jobs", "Ask JOB's worker how far the job is: epoch, losses, time left."),
    ("stop", "jobs", "End JOB's training early and keep its best model."),
    ("track", "track", "Predict poses in VIDEO_OR_SLP on a worker and fetch the predictions."),
    ("train", "train", "Train models from DATASET on a worker and fetch them."),
    ("workers", "workers", "List the workers in the room, or only those that meet the conditions."),
)
"""Each command's name, its module in ``commands``, and the first sentence of its own help."""

COMMANDS: Final[Mapping[str, LazyCommand]] = {
    name: LazyCommand(f"{__package__}.commands.{module}", name, help_line)
    for name, module, help_line in _TABLE
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@config_file_option("client")
@click.option("-v", "--verbose", is_flag=True, help="Log every detail, on standard error.")
@log_options
def main(verbose: bool, log_format: str, log_level: str | None) -> None:
    """Make rooms, find workers, train models, predict with them."""
    start_log(log_format, log_level, logging.ERROR, verbose=verbose)


if __name__ == "__main__":
    main()
