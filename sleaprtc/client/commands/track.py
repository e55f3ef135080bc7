"""``client track``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click

from ...commandline.options import connection_options, peer_options, room_options
from .common import HELP, filter_options, json_option, run_command
from .submitting import SubmittingCommand, how_to_submit, persistence_of, submission_options

_SETTINGS: Final = {"peak_threshold": "peak_threshold", "frames_at_once": "batch_size", "frames": "frames"}
"""What the job calls them, by the options' parameters."""


@click.command(cls=SubmittingCommand, context_settings=HELP)
@click.argument(
    "recording",
    metavar="VIDEO_OR_SLP",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="DIR",
    type=click.Path(exists=True, path_type=Path),
    help="A model folder, or the folder of both models of a top-down training; repeatable.",
)
@click.option(
    "--out",
    "out_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the predictions go.  [default: NAME.predictions.slp]",
)
@click.option("--force", is_flag=True, help="Replace that file if it exists; else the new one gets a number.")
@click.option(
    "--peak-threshold", type=click.FloatRange(0, 1), help="How sure a node must be.  [default: 0.2]"
)
@click.option(
    "--batch-size",
    "frames_at_once",  # not as `train` has it: a settings file's `batch_size` is for trainings
    type=click.IntRange(1, 4096),
    help="Frames at once.  [default: 4]",
)
@click.option(
    "--frames",
    metavar="0-99,120",
    help="Only these frames of a video; of labels, of their labelled frames.",
)
@click.option("--tracking", is_flag=True, help="Follow animals from frame to frame.")
@submission_options
@room_options
@connection_options
@filter_options
@json_option
def track(as_json: bool, **given: Any) -> None:
    """Predict poses in VIDEO_OR_SLP on a worker and bring the predictions home.

    VIDEO_OR_SLP is a video (.mp4 .avi .mov .mkv), or labels, whose labelled frames are looked at anew. The
    predictions point to it where it lies on this machine. Models are sent unless the worker has them already.
    """
    from ..room import until_interrupted

    async def command() -> None:
        await until_interrupted(functools.partial(_track, given, as_json))

    run_command(command, as_json)


async def _track(given: Mapping[str, Any], as_json: bool) -> None:
    from ..display import open_display
    from ..jobs.retry import open_endeavour
    from ..jobs.track import tracking_order

    settings = {name: given[key] for key, name in _SETTINGS.items() if given[key] is not None}
    if given["tracking"]:
        settings["tracking"] = True
    options = peer_options(given)
    with open_display(as_json=as_json) as emit:
        order = await tracking_order(
            given["recording"],
            given["models"],
            out=given["out_file"],
            replace=given["force"],
            settings=settings,
            emit=emit,
            **how_to_submit(given),
        )
        async with open_endeavour(order, options, persistence_of(given), emit) as endeavour:
            await (endeavour.begin() if given["detach"] else endeavour.run())
