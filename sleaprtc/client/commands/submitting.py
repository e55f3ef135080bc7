"""Options of the commands that submit jobs: which worker gets it, and how long to try."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import click

from ...jobs.negotiation import SelectionRule
from ...protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from .common import filters_of

if TYPE_CHECKING:
    from ..jobs.retry import Persistence

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


class SubmittingCommand(click.Command):
    """A command with :func:`submission_options`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the command line, on which ``--wait`` may stand alone."""
        return super().parse_args(ctx, with_explicit_wait(args))


def submission_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options."""
    options = (
        click.option("--worker", metavar="NAME", help="Ask only this worker."),
        click.option(
            "--select",
            "rule",
            type=click.Choice([rule.value for rule in SelectionRule]),
            default=SelectionRule.FASTEST.value,
            show_default=True,
            help="Who of those that accept gets the job.",
        ),
        click.option(
            "--response-timeout",
            type=click.FloatRange(min=0.1),
            default=JOB_RESPONSE_TIMEOUT_SEC,
            show_default=True,
            metavar="SEC",
            help="How long to wait for answers.",
        ),
        click.option(
            "--wait",
            "wait_minutes",
            type=_Minutes(),
            default=0.0,
            metavar="[MINUTES]",
            help="Wait for a worker that is free, at most so long; without a number, as long as it takes.",
        ),
        click.option(
            "--retries",
            type=click.IntRange(0, 100),
            default=0,
            show_default=True,
            help="Begin again so often where the worker was lost or the failure need not come again.",
        ),
        click.option("--detach", is_flag=True, help="Return when the work has begun; the worker goes on."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def how_to_submit(given: Mapping[str, Any]) -> dict[str, Any]:
    """Which workers are asked, as the orders' makers want to know it."""
    return {
        "filters": filters_of(given),
        "min_gpu_memory_mb": given["min_gpu_memory_mb"] or 0,
        "worker": given["worker"],
        "rule": SelectionRule(given["rule"]),
        "response_timeout_sec": given["response_timeout"],
    }


def persistence_of(given: Mapping[str, Any]) -> Persistence:
    """How long to try."""
    from ..jobs.retry import Persistence

    return Persistence(wait_sec=60 * given["wait_minutes"], retries=given["retries"])
