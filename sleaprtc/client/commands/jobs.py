"""``client jobs``, and the commands about them: ``status logs attach fetch limit stop cancel purge``."""

from __future__ import annotations

import functools
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ...access.place import ConnectionOptions
from ...base.printable import printable
from ...commandline.numbers import rate_argument
from ...commandline.options import connection_options
from ...commandline.run import run
from ...errors import UsageError
from ..records.files import load_all
from ..records.job_ids import short_id
from .common import HELP, json_option


def complete_job(
    _context: click.Context, _argument: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Lists the jobs that a shell can complete to, by the part of their ids that tables show."""
    try:
        records = load_all()
    except UsageError:  # the command itself reports what is wrong
        return []
    return [
        CompletionItem(short_id(record.job_id), help=printable(f"{record.state} on {record.worker}"))
        for record in records
        if record.job_id.startswith(short_id(incomplete))
    ]


job_argument = click.argument("job", metavar="JOB", shell_complete=complete_job)


@click.command(context_settings=HELP)
@click.argument("wanted", metavar="[JOB]...", nargs=-1, shell_complete=complete_job)
@click.option(
    "--forget",
    is_flag=True,
    help="Forget these jobs, or all that are over. Files on disk and on workers stay.",
)
@json_option
def jobs(wanted: tuple[str, ...], forget: bool, as_json: bool) -> None:
    """List the jobs that were started here, newest first, with what was last seen of each.

    Jobs are forgotten 30 days after they are over.
    """
    from ..actions.jobs import list_jobs

    run(functools.partial(list_jobs, wanted, forget=forget, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@json_option
def status(job: str, as_json: bool) -> None:
    """Ask JOB's worker how far the job is: epoch, losses, time left.

    The process that follows the job isn't disturbed. If the worker is away, this shows what was last seen.
    """
    from ..actions.ask import show_status

    run(functools.partial(show_status, job, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Continue until the job is over.")
@json_option
def logs(job: str, follow: bool, as_json: bool) -> None:
    """Show JOB's messages, and the end of its trainer's output (lines that begin with |).

    The process that follows the job isn't disturbed. Ctrl-C ends only this command.
    """
    from ..actions.ask import show_logs

    run(functools.partial(show_logs, job, follow=follow, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@connection_options
@json_option
def attach(job: str, connection: ConnectionOptions, as_json: bool) -> None:
    """Follow JOB again: show what you missed, then its progress, and fetch its result.

    JOB is a job's id or the beginning of one; `jobs` lists them. Ctrl-C leaves the job running.
    """
    from ..actions import attach as action

    run(functools.partial(action.attach, job, connection, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@click.option(
    "--out",
    "result_dir",  # not as `train` has it: a settings file's `out` isn't meant for jobs that were started
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the result goes.  [default: as when the job was started]",
)
@connection_options
@json_option
def fetch(job: str, result_dir: Path | None, connection: ConnectionOptions, as_json: bool) -> None:
    """Fetch the result of JOB if it is finished; exit status 75 means that it isn't yet.

    JOB is a job's id or the beginning of one; `jobs` lists them.
    """
    from ..actions import attach as action

    target = result_dir and result_dir.absolute()
    run(functools.partial(action.fetch, job, connection, result_dir=target, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@json_option
def stop(job: str, as_json: bool) -> None:
    """End JOB's training early and keep its best model.

    The job then completes as usual; whoever follows it gets the model; otherwise, `attach` waits for it.
    """
    from ..actions.ask import stop_job

    run(functools.partial(stop_job, job, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@json_option
def cancel(job: str, as_json: bool) -> None:
    """End JOB and throw away everything it has made; its worker keeps nothing of it.

    `stop` ends a job early too, and keeps its best model.
    """
    from ..actions.ask import cancel_job

    run(functools.partial(cancel_job, job, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@rate_argument
@click.argument("job", metavar="[JOB]", required=False, shell_complete=complete_job)
@json_option
def limit(bytes_per_sec: float | None, job: str | None, as_json: bool) -> None:
    """Change the rate at which files of JOB, or of all jobs that are followed here, are transferred.

    RATE is what may be sent in a second, and received: 500K or 2M; none lifts the limit. It holds for as long
    as the command runs that follows the job, and for its other jobs too.
    """
    from ..actions.limit import limit_jobs

    run(functools.partial(limit_jobs, bytes_per_sec, job, as_json=as_json), as_json=as_json)


@click.command(context_settings=HELP)
@job_argument
@click.option(
    "--unfetched",
    "even_unfetched",
    is_flag=True,
    help="Also delete a result that hasn't been fetched; it is lost.",
)
@json_option
def purge(job: str, even_unfetched: bool, as_json: bool) -> None:
    """Delete everything that JOB's worker has of it: dataset, result, log, notes.

    The command returns once the worker has confirmed that nothing is left. JOB has to be over. What is on
    this machine stays.
    """
    from ..actions.ask import purge as action

    run(functools.partial(action, job, even_unfetched=even_unfetched, as_json=as_json), as_json=as_json)
