"""What the client's commands share: options, and how a command ends."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NoReturn

import click

from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...commandline.run import run
from ...errors import UsageError
from ..jobs.filters import worker_filters

HELP: Final = {"help_option_names": ["-h", "--help"]}
SHOWN_ID_LENGTH: Final = 8
"""What tables show of a job's id, which is enough to name it."""


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which workers fit."""
    for option in (
        click.option("--tag", "tags", multiple=True, help="A tag the worker must have; repeatable."),
        click.option(
            "--property",
            "conditions",
            multiple=True,
            metavar="'KEY>=VALUE'",
            help="A condition on a worker's property: = != > >= < <=. Can be repeated.",
        ),
        click.option("--min-gpu-memory-mb", type=click.FloatRange(min=0), help="GPU memory it must have."),
    ):
        command = option(command)
    return command


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="JSON lines on standard output, all else on standard error.",
)


def complete_job(_context: click.Context, _argument: click.Parameter, incomplete: str) -> list[Any]:
    """Lists the jobs that a shell can complete to, by what is shown of their ids."""
    from click.shell_completion import CompletionItem

    from ..records.files import load_all

    try:
        records = load_all()
    except UsageError:  # the command itself says what is wrong
        return []
    return [
        CompletionItem(record.job_id[:SHOWN_ID_LENGTH], help=printable(f"{record.state} on {record.worker}"))
        for record in records
        if record.job_id.startswith(incomplete[:SHOWN_ID_LENGTH])
    ]


job_argument = click.argument("job", metavar="JOB", shell_complete=complete_job)


def goes_on(job_id: str) -> str:
    """What to say where a person interrupts the showing of a job, which doesn't end the job."""
    job = job_id[:SHOWN_ID_LENGTH]
    return f"Job {job} goes on without this command. To follow it again: sleap-rtc client attach {job}"


def to_standard_error(sentence: str) -> None:
    """Prints a sentence for a person, out of the way of what programs read; others may have words in it."""
    print(printable(sentence), file=sys.stderr)


def run_command(command: Callable[[], Awaitable[None]], as_json: bool) -> NoReturn:
    """Runs a command to its end, and says with ``--json`` how it failed."""

    def report(code: str, sentence: str, exit_status: int) -> None:
        ended = {"event": "error", "code": code, "message": sentence, "exit_status": exit_status}
        print_json(ended)

    run(command, on_error=report if as_json else None)


def filters_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """The filters of a discovery that the options stand for."""
    return worker_filters(
        min_gpu_memory_mb=given["min_gpu_memory_mb"],
        conditions=given["conditions"],
        tags=given["tags"],
    )
