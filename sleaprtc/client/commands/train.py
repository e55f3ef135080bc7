"""``client train``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...commandline.options import connection_options, peer_options, room_options
from .common import HELP, filter_options, json_option, run_command
from .submitting import SubmittingCommand, how_to_submit, persistence_of, submission_options

if TYPE_CHECKING:
    from ..jobs.retry import Persistence


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
    help="A sleap-nn YAML or SLEAP JSON configuration; one a model, in order.",
)
@click.option(
    "--model-type",
    type=click.Choice(["base", "centroid", "topdown", "bottomup"]),
    help="What to train.  [default: what suits the labels]",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), help="Most epochs for each model.")
@click.option("--batch-size", type=click.IntRange(1, 4096), help="Frames, or crops, a step.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Of the optimizer.")
@submission_options
@room_options
@connection_options
@filter_options
@json_option
def train(as_json: bool, **given: Any) -> None:
    """Train DATASET on a worker and bring the models home.

    DATASET is labels with their images (.pkg.slp), labels that point to videos (.slp), which are packed first
    where sleap-io is at hand, or a training job package exported from SLEAP (.zip).
    Of several, each is a job of its own, on as many workers at a time as are free, and its models go into a
    folder of its name below --out. Several --config are the models of each job.
    """
    from ..room import until_interrupted

    train_them = _train_several if len(given["datasets"]) > 1 else _train_one

    async def command() -> None:
        persistence = persistence_of(given)
        await until_interrupted(functools.partial(train_them, given, persistence, as_json))

    run_command(command, as_json)


def _how(given: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`sleaprtc.client.jobs.train.training_order` wants to know, but for dataset and folder."""
    given_settings = ("model_type", "epochs", "batch_size", "learning_rate")
    return {
        "configs": given["configs"],
        "settings": {key: given[key] for key in given_settings if given[key] is not None},
        **how_to_submit(given),
    }


async def _train_one(given: Mapping[str, Any], persistence: Persistence, as_json: bool) -> None:
    from ..display import open_display
    from ..jobs.retry import open_endeavour
    from ..jobs.train import training_order

    (dataset,) = given["datasets"]
    options = peer_options(given)
    with open_display(as_json=as_json) as emit:
        order = await training_order(dataset, out_dir=given["out_dir"], emit=emit, **_how(given))
        async with open_endeavour(order, options, persistence, emit) as endeavour:
            await (endeavour.begin() if given["detach"] else endeavour.run())


async def _train_several(given: Mapping[str, Any], persistence: Persistence, as_json: bool) -> None:
    from ..display import print_table
    from ..display.several import next_commands, open_several_display, outcomes_table
    from ..jobs.several import failure_of, train_several

    with open_several_display(as_json=as_json) as display:
        outcomes = await train_several(
            given["datasets"],
            out_dir=given["out_dir"],
            options=peer_options(given),
            persistence=persistence,
            detach=given["detach"],
            display=display,
            **_how(given),
        )
    if not as_json:
        print_table(outcomes_table(outcomes))
        if given["detach"]:
            print(next_commands())
    failure = failure_of(outcomes)
    if failure is not None:
        raise failure
