"""Options that several of the client's commands have."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, TypeAlias

import click

from ...commandline.run import errors_reported
from ..jobs.order.filters import WhichWorker, worker_filters

Command: TypeAlias = Callable[..., None]

HELP: Final = {"help_option_names": ["-h", "--help"]}

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="JSON lines on standard output, all else on standard error.",
)

_FILTER_OPTIONS: Final = (
    click.option("--tag", "tags", multiple=True, help="A tag the worker must have; repeatable."),
    click.option(
        "--property",
        "conditions",
        multiple=True,
        metavar="'KEY>=VALUE'",
        help="A condition on a worker's property: = != > >= < <=. Can be repeated.",
    ),
    click.option("--min-gpu-memory-mb", type=click.FloatRange(min=0), help="GPU memory it must have."),
)


def filter_options(command: Command) -> Command:
    """Adds what a worker must have; the command gets it as ``which``, a :class:`WhichWorker`."""

    @functools.wraps(command)
    def with_filters(
        *,
        min_gpu_memory_mb: float | None,
        conditions: tuple[str, ...],
        tags: tuple[str, ...],
        **others: object,
    ) -> None:
        with errors_reported(as_json=bool(others.get("as_json"))):
            filters = worker_filters(min_gpu_memory_mb=min_gpu_memory_mb, conditions=conditions, tags=tags)
        command(**others, which=WhichWorker(filters, min_gpu_memory_mb or 0))

    decorated: Command = with_filters
    for option in _FILTER_OPTIONS:
        decorated = option(decorated)
    return decorated
