"""``client jobs``, ``attach`` and ``fetch``: jobs that were begun before."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import click

from ...commandline.json_lines import print_json
from ...commandline.options import connection_of, connection_options
from .common import HELP, complete_job, goes_on, job_argument, json_option, run_command


@click.command(context_settings=HELP)
@job_argument
@connection_options
@json_option
def attach(job: str, as_json: bool, **given: Any) -> None:
    """Take up JOB again: what was missed, how it goes on, and its model.

    JOB is a job's id, or how it begins; `jobs` lists them. Ctrl-C leaves the job running.
    """
    from ..display import open_display
    from ..jobs.attach import attach_to_job
    from ..records.files import find
    from ..room import until_interrupted

    async def command() -> None:
        connection, record = connection_of(given), find(job)
        with open_display(as_json=as_json, job_id=record.job_id) as emit:
            follow = functools.partial(attach_to_job, record, connection=connection, emit=emit)
            await until_interrupted(follow, goes_on(record.job_id))

    run_command(command, as_json)


@click.command(context_settings=HELP)
@job_argument
@click.option(
    "--out",
    "result_dir",  # not as `train` has it: a settings file's `out` isn't meant for jobs that were begun
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the result goes.  [default: as the job was begun]",
)
@connection_options
@json_option
def fetch(job: str, result_dir: Path | None, as_json: bool, **given: Any) -> None:
    """Get the result of JOB if it is finished; exit status 75 says that it isn't yet.

    JOB is a job's id, or how it begins; `jobs` lists them.
    """
    from ...jobs.life import Seen
    from ..display import open_display
    from ..events.job import Event, StatusChanged
    from ..jobs.attach import attach_to_job, completed_before
    from ..records.files import find
    from ..room import until_interrupted

    result_dir = result_dir and result_dir.absolute()

    async def command() -> None:
        connection, record = connection_of(given), find(job)
        with open_display(as_json=as_json, job_id=record.job_id) as emit:
            if record.state == Seen.COMPLETED and record.results and result_dir is None:
                emit(completed_before(record))
                return

            def show(event: Event) -> None:
                if not isinstance(event, StatusChanged):  # how it went is told by `logs`
                    emit(event)

            get = functools.partial(
                attach_to_job,
                record,
                connection=connection,
                emit=show,
                only_if_finished=True,
                out_dir=result_dir,
            )
            await until_interrupted(get)

    run_command(command, as_json)


@click.command(context_settings=HELP)
@click.argument("wanted", metavar="[JOB]...", nargs=-1, shell_complete=complete_job)
@click.option(
    "--forget",
    is_flag=True,
    help="Forget these jobs, or all that are over; what is on disk or on workers stays.",
)
@json_option
def jobs(wanted: tuple[str, ...], forget: bool, as_json: bool) -> None:
    """List the jobs that were begun here, the newest first, and what was last seen of them.

    Jobs that are over are forgotten 30 days later by themselves.
    """
    from ..display import jobs_table, print_table
    from ..records import files

    async def command() -> None:
        files.forget_old(time.time())
        found = [files.find(job) for job in wanted] if wanted else files.load_all()
        if forget:
            found = [record for record in found if wanted or record.is_over]
            for record in found:
                files.forget(record)
        if as_json:
            for record in found:
                print_json(files.public_fields(record))
        elif forget:
            print(f"Forgot {len(found)} job{'' if len(found) == 1 else 's'}.")
        elif found:
            print_table(jobs_table(found))
        else:
            print("No jobs yet.")

    run_command(command, as_json)
