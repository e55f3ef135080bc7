"""``client train``."""

from __future__ import annotations

from pathlib import Path

import click

from ...commandline.numbers import FiniteRange
from ...commandline.run import run
from ..actions.options import JobOptions
from ..jobs.order.settings import TrainingSettings
from .common import HELP, json_option
from .submitting import SubmittingCommand, job_options


@click.command(cls=SubmittingCommand, context_settings=HELP)
@click.argument(
    "datasets",
    metavar="DATASET...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option(
    "--out",
    "out_dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("models"),
    show_default=True,
    help="Where models go.",
)
@click.option(
    "--config",
    "configs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A sleap-nn YAML or SLEAP JSON configuration; one per model, in order.",
)
@click.option(
    "--val",
    "validation",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Labels to validate on.  [default: a tenth of the frames]",
)
@click.option(
    "--model-type",
    type=click.Choice(["base", "centroid", "topdown", "bottomup"]),
    help="What to train.  [default: what suits the labels]",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="The most epochs for each model.")
@click.option("--batch-size", type=click.IntRange(1, 4096), help="Frames, or crops, per step.")
@click.option(
    "--learning-rate", type=FiniteRange(min=0, min_open=True), help="The optimizer's learning rate."
)
@job_options
@json_option
def train(
    datasets: tuple[Path, ...],
    out_dir: Path,
    configs: tuple[Path, ...],
    validation: Path | None,
    model_type: str | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate: float | None,
    options: JobOptions,
    as_json: bool,
) -> None:
    """Train models from DATASET on a worker and fetch them.

    DATASET is labels with their images (.pkg.slp), labels that point to videos (.slp), which are packed first
    if sleap-io is installed, or a training job package exported from SLEAP (.zip). Several datasets are a job
    each, on as many workers at a time as are free, and each job's models go into a folder of its name below
    --out. Several --config are the models of each job. --val names labels that no job trains on, so that all
    are measured on the same frames.
    """
    from ..actions.train import Training

    settings = TrainingSettings(model_type, epochs, batch_size, learning_rate)
    training = Training(datasets, out_dir, configs, validation, settings, options, as_json)
    run(training.run, as_json=as_json)
