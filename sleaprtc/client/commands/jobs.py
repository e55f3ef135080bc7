"""``client jobs`` and ``attach``: jobs that were begun before."""

from __future__ import annotations

import functools
import json
from typing import Any

import click

from ...config_options import connection_of, connection_options
from .common import HELP, json_option, run_command


@click.command(context_settings=HELP)
@click.argument("job", metavar="JOB")
@connection_options
@json_option
def attach(job: str, as_json: bool, **given: Any) -> None:
    """Take up JOB again: what was missed, how it goes on, and its model.

    JOB is a job's id, or how it begins; `jobs` lists them. Ctrl-C leaves the job running.
    """
    from ..attach import attach_to_job
    from ..display import open_display
    from ..records import find
    from ..room import until_interrupted

    async def command() -> None:
        connection = connection_of(given)
        with open_display(as_json=as_json) as emit:
            await until_interrupted(
                functools.partial(attach_to_job, find(job), connection=connection, emit=emit)
            )

    run_command(command, as_json)


@click.command(context_settings=HELP)
@json_option
def jobs(as_json: bool) -> None:
    """List the jobs that were begun here, the newest first."""
    from ..display import jobs_table, print_table
    from ..records import load_all, public_fields

    async def command() -> None:
        records = load_all()
        if as_json:
            for record in records:
                print(json.dumps(public_fields(record)))
        elif records:
            print_table(jobs_table(records))
        else:
            print("No jobs yet.")

    run_command(command, as_json)
