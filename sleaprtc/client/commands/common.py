"""Options that several of the client's commands have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click

from ...commandline.numbers import FiniteRange
from ...commandline.options import Command, Option, gathered
from ..jobs.order.filters import WhichWorker, worker_filters

HELP: Final = {"help_option_names": ["-h", "--help"]}

json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="JSON lines on standard output, all else on standard error.",
)

_FILTER_OPTIONS: Final[Mapping[str, Option]] = {
    "min_gpu_memory_mb": click.option(
        "--min-gpu-memory-mb", type=FiniteRange(min=0), help="GPU memory that the worker must have."
    ),
    "conditions": click.option(
        "--property",
        "conditions",
        multiple=True,
        metavar="'KEY>=VALUE'",
        help="A condition on a worker's property: = != > >= < <=. Can be repeated.",
    ),
    "tags": click.option(
        "--tag", "tags", multiple=True, help="A tag that the worker must have. Can be repeated."
    ),
}


def filter_options(command: Command) -> Command:
    """Adds what a worker must have; the command gets it as ``which``, a :class:`WhichWorker`."""
    return gathered(command, "which", _which, _FILTER_OPTIONS)


def _which(
    min_gpu_memory_mb: float | None, conditions: tuple[str, ...], tags: tuple[str, ...]
) -> WhichWorker:
    filters = worker_filters(min_gpu_memory_mb=min_gpu_memory_mb, conditions=conditions, tags=tags)
    return WhichWorker(filters, min_gpu_memory_mb or 0)
