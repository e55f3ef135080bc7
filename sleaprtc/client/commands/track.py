"""``client track``."""

from __future__ import annotations

from pathlib import Path

import click

from ...commandline.numbers import FiniteRange
from ...commandline.run import run
from ..actions.options import JobOptions
from ..jobs.order.settings import PredictionSettings
from .common import HELP, json_option
from .submitting import SubmittingCommand, job_options


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
    help="A model folder, or the folder of both models of a top-down training. Can be repeated.",
)
@click.option(
    "--out",
    "out_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the predictions go, as .slp, .csv, .analysis.h5 or .nwb.  [default: NAME.predictions.slp]",
)
@click.option(
    "--force", is_flag=True, help="Replace that file if it exists; otherwise, the new one gets a number."
)
@click.option(
    "--peak-threshold", type=FiniteRange(0, 1), help="The least confidence for a node.  [default: 0.2]"
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
    help="Only these frames of a video, or only these of the labelled frames in labels.",
)
@click.option("--tracking", is_flag=True, help="Follow animals from frame to frame.")
@job_options
@json_option
def track(
    recording: Path,
    models: tuple[Path, ...],
    out_file: Path | None,
    force: bool,
    peak_threshold: float | None,
    frames_at_once: int | None,
    frames: str | None,
    tracking: bool,
    options: JobOptions,
    as_json: bool,
) -> None:
    """Predict poses in VIDEO_OR_SLP on a worker and fetch the predictions.

    VIDEO_OR_SLP is a video (.mp4 .avi .mov .mkv), or labels, whose labelled frames are predicted. The
    predictions point to the file on this machine. Models are sent unless the worker already has them.
    """
    from ..actions.track import Tracking

    settings = PredictionSettings(peak_threshold, frames_at_once, frames, tracking or None)
    job = Tracking(recording, models, out_file, force, settings, options, as_json)
    run(job.run, as_json=as_json)
