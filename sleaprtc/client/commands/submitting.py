"""The options of commands that submit jobs: which worker gets the job, and how long to try."""

from __future__ import annotations

import functools
import math
from typing import Any, Final

import attrs
import click

from ...access.place import PeerOptions
from ...commandline.numbers import FiniteRange
from ...commandline.options import Command, peer_options
from ...jobs.negotiation import SelectionRule
from ...protocol.limits import JOB_RESPONSE_TIMEOUT_SEC
from ..actions.options import JobOptions
from ..jobs.order.filters import WhichWorker
from ..jobs.order.persistence import Persistence, Until
from .common import filter_options

FOREVER: Final = "forever"


def with_explicit_wait(arguments: list[str]) -> list[str]:
    """Adds the time that a lone ``--wait`` leaves out, lest the dataset after it be read as minutes."""
    explicit: list[str] = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*explicit, *arguments[number:]]
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        is_followed_by_time = following == FOREVER or following.replace(".", "", 1).isdigit()
        explicit.append(f"--wait={FOREVER}" if argument == "--wait" and not is_followed_by_time else argument)
    return explicit


class _Minutes(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.3
    name = "minutes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads minutes; infinity stands for no limit."""
        if value == FOREVER:
            return math.inf
        minutes: float = FiniteRange(min=0).convert(value, param, ctx)
        return minutes


class SubmittingCommand(click.Command):
    """A command with :func:`job_options`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses the command line, on which ``--wait`` may stand alone."""
        return super().parse_args(ctx, with_explicit_wait(args))


_SUBMISSION_OPTIONS: Final = (
    click.option("--worker", metavar="NAME", help="Ask only this worker."),
    click.option(
        "--select",
        "rule",
        type=click.Choice([rule.value for rule in SelectionRule]),
        default=SelectionRule.FASTEST.value,
        show_default=True,
        help="Which of the workers that accept gets the job.",
    ),
    click.option(
        "--response-timeout",
        type=FiniteRange(min=0.1),
        default=JOB_RESPONSE_TIMEOUT_SEC,
        show_default=True,
        metavar="SEC",
        help="How long to wait for the workers' answers.",
    ),
    click.option(
        "--wait",
        "wait_minutes",
        type=_Minutes(),
        default=0.0,
        metavar="[MINUTES]",
        help="Wait for a free worker, at most this long; without a number, as long as it takes.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, 100),
        default=0,
        show_default=True,
        help="How often to retry if the worker was lost, or after a failure that may not happen again.",
    ),
    click.option(
        "--ephemeral", is_flag=True, help="Have the worker keep nothing of the job once its result is here."
    ),
    click.option("--detach", is_flag=True, help="Return once the work has started; the worker continues."),
)


def job_options(command: Command) -> Command:
    """Adds how to submit a job, server and room, and which worker gets it.

    The command gets all of it as ``options``, a :class:`~sleaprtc.client.actions.options.JobOptions`.
    """
    decorated = peer_options(filter_options(_with_job_options(command)))
    for option in reversed(_SUBMISSION_OPTIONS):
        decorated = option(decorated)
    return decorated


def _with_job_options(command: Command) -> Command:
    @functools.wraps(command)
    def with_job_options(
        *,
        peer: PeerOptions,
        which: WhichWorker,
        worker: str | None,
        rule: str,
        response_timeout: float,
        wait_minutes: float,
        retries: int,
        ephemeral: bool,
        detach: bool,
        **others: object,
    ) -> None:
        which = attrs.evolve(
            which,
            worker=worker,
            rule=SelectionRule(rule),
            response_timeout_sec=response_timeout,
        )
        if ephemeral:
            which = which.that_keep_nothing()
        until = Until.BEGUN if detach else Until.RESULT
        persistence = Persistence(wait_sec=60 * wait_minutes, retries=retries, until=until)
        command(**others, options=JobOptions(peer, which, persistence))

    return with_job_options
