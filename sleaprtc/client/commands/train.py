"""``client train``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from ...config_options import connection_options, peer_options, room_options
from ...jobs.negotiation import SelectionRule
from ...protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from .common import HELP, filter_options, filters_of, json_option, run_command


@click.command(context_settings=HELP)
@click.argument("dataset", type=click.Path(exists=True, dir_okay=False, path_type=Path))
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
@click.option("--worker", metavar="NAME", help="Ask only this worker.")
@click.option(
    "--select",
    "rule",
    type=click.Choice([rule.value for rule in SelectionRule]),
    default=SelectionRule.FASTEST.value,
    show_default=True,
    help="Who of those that accept gets the job.",
)
@click.option(
    "--response-timeout",
    type=click.FloatRange(min=0.1),
    default=JOB_RESPONSE_TIMEOUT_SEC,
    show_default=True,
    metavar="SEC",
    help="How long to wait for answers.",
)
@room_options
@connection_options
@filter_options
@json_option
def train(as_json: bool, **given: Any) -> None:
    """Train DATASET on a worker and bring the models home.

    DATASET is a labels file with its images (.pkg.slp), or a training job package exported from SLEAP (.zip).
    """
    from ..display import open_display
    from ..room import until_interrupted
    from ..train import train_on_a_worker

    async def command() -> None:
        given_settings = ("model_type", "epochs", "batch_size", "learning_rate")
        settings = {key: given[key] for key in given_settings if given[key] is not None}
        with open_display(as_json=as_json) as emit:
            train_it = functools.partial(
                train_on_a_worker,
                given["dataset"],
                out_dir=given["out_dir"],
                options=peer_options(given),
                configs=given["configs"],
                settings=settings,
                filters=filters_of(given),
                min_gpu_memory_mb=given["min_gpu_memory_mb"] or 0,
                worker=given["worker"],
                rule=SelectionRule(given["rule"]),
                response_timeout_sec=given["response_timeout"],
                emit=emit,
            )
            await until_interrupted(train_it)

    run_command(command, as_json)
