"""``client train``."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ...config_options import connection_options, peer_options, room_options
from ...jobs.negotiation import SelectionRule
from ...protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from .common import HELP, filter_options, filters_of, json_option, run_command

if TYPE_CHECKING:
    from ..persistence import Persistence

FOREVER: Final = "forever"


def with_explicit_wait(arguments: list[str]) -> list[str]:
    """Says for how long to wait where ``--wait`` alone doesn't, so that it takes no dataset for minutes."""
    explicit: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*explicit, *arguments[number:]]
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        is_told = following == FOREVER or following.replace(".", "", 1).isdigit()
        explicit.append(f"--wait={FOREVER}" if argument == "--wait" and not is_told else argument)
    return explicit


class _Minutes(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.3
    name = "minutes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads minutes; infinity stands for no limit."""
        if value == FOREVER:
            return math.inf
        minutes: float = click.FloatRange(min=0).convert(value, param, ctx)
        return minutes


class _TrainCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the command line, on which ``--wait`` may stand alone."""
        return super().parse_args(ctx, with_explicit_wait(args))


@click.command(cls=_TrainCommand, context_settings=HELP)
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
@click.option(
    "--wait",
    "wait_minutes",
    type=_Minutes(),
    default=0.0,
    metavar="[MINUTES]",
    help="Wait for a worker that is free, at most so long; without a number, as long as it takes.",
)
@click.option(
    "--retries",
    type=click.IntRange(0, 100),
    default=0,
    show_default=True,
    help="Begin again so often where the worker was lost or the failure need not come again.",
)
@click.option("--detach", is_flag=True, help="Return when training has begun; the worker goes on.")
@room_options
@connection_options
@filter_options
@json_option
def train(as_json: bool, **given: Any) -> None:
    """Train DATASET on a worker and bring the models home.

    DATASET is a labels file with its images (.pkg.slp), or a training job package exported from SLEAP (.zip).
    Of several, each is a job of its own, on as many workers at a time as are free, and its models go into a
    folder of its name below --out. Several --config are the models of each job.
    """
    from ..persistence import Persistence
    from ..room import until_interrupted

    train_them = _train_several if len(given["datasets"]) > 1 else _train_one

    async def command() -> None:
        persistence = Persistence(wait_sec=60 * given["wait_minutes"], retries=given["retries"])
        await until_interrupted(functools.partial(train_them, given, persistence, as_json))

    run_command(command, as_json)


def _how(given: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`sleaprtc.client.train.training_order` wants to know, but for dataset and folder."""
    given_settings = ("model_type", "epochs", "batch_size", "learning_rate")
    return {
        "configs": given["configs"],
        "settings": {key: given[key] for key in given_settings if given[key] is not None},
        "filters": filters_of(given),
        "min_gpu_memory_mb": given["min_gpu_memory_mb"] or 0,
        "worker": given["worker"],
        "rule": SelectionRule(given["rule"]),
        "response_timeout_sec": given["response_timeout"],
    }


async def _train_one(given: Mapping[str, Any], persistence: Persistence, as_json: bool) -> None:
    from ..display import open_display
    from ..persistence import open_endeavour
    from ..train import training_order

    (dataset,) = given["datasets"]
    options = peer_options(given)
    with open_display(as_json=as_json) as emit:
        order = await training_order(dataset, out_dir=given["out_dir"], **_how(given))
        async with open_endeavour(order, options, persistence, emit) as endeavour:
            await (endeavour.begin() if given["detach"] else endeavour.run())


async def _train_several(given: Mapping[str, Any], persistence: Persistence, as_json: bool) -> None:
    from ..display import print_table
    from ..display.several import open_several_display, outcomes_table
    from ..several import failure_of, train_several

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
    failure = failure_of(outcomes)
    if failure is not None:
        raise failure
