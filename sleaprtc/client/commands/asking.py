"""``client status``, ``logs``, ``stop`` and ``cancel``: looking at a job, and ending it, from anywhere."""

from __future__ import annotations

import functools
import time
from typing import Any

import attrs
import click

from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...protocol.vocabulary import JobType
from .common import HELP, goes_on, job_argument, json_option, run_command


@click.command(context_settings=HELP)
@job_argument
@json_option
def status(job: str, as_json: bool) -> None:
    """Ask JOB's worker how it stands: epoch, losses, time left.

    The process that follows the job isn't disturbed. Where the worker is away, what was last seen is shown.
    """
    from ..display.job_lines import state_lines
    from ..jobs.state import look
    from ..records.files import find
    from ..room import until_interrupted

    async def command() -> None:
        seen = await until_interrupted(functools.partial(look, find(job)))
        if as_json:
            print_json({"event": seen.state.event, **attrs.asdict(seen.state)})
        else:
            for line in state_lines(seen.state, time.time()):
                print(line)
        if seen.error is not None:
            raise seen.error

    run_command(command, as_json)


@click.command(context_settings=HELP)
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job is over.")
@json_option
def logs(job: str, follow: bool, as_json: bool) -> None:
    """Show what JOB said, and the end of what its trainer printed (lines that begin with |).

    The process that follows the job isn't disturbed. Ctrl-C ends the showing alone.
    """
    from ..display.log_lines import JSONLog, PlainLog
    from ..jobs.ask import failure_of, open_asker
    from ..jobs.logs import read_log
    from ..records.files import JobRecord, find
    from ..room import until_interrupted

    async def show(record: JobRecord) -> None:
        out = JSONLog(record) if as_json else PlainLog(record)
        async with open_asker(record) as asker:
            async for part in read_log(asker, follow=follow):
                out.show(part)
                state = part.state
            if state == "failed":
                out.show_failure(failure_of(await asker.state()))

    async def command() -> None:
        record = find(job)
        sentence = goes_on(record.job_id) if follow and not record.is_over else "Cancelled."
        await until_interrupted(functools.partial(show, record), sentence)

    run_command(command, as_json)


@click.command(context_settings=HELP)
@job_argument
@json_option
def stop(job: str, as_json: bool) -> None:
    """End JOB's training early and keep its best model.

    The job then completes as usual; whoever follows it gets the model, else `attach` waits for it.
    """
    from ...jobs.life import is_underway
    from ..jobs.ask import failure_of, open_asker
    from ..records.files import find, refuse_if_over
    from ..room import until_interrupted

    async def tell() -> None:
        record = find(job)
        refuse_if_over(record)
        async with open_asker(record) as asker:
            attached = await asker.stop()
        if attached.state == "failed":
            raise failure_of(attached)
        if as_json:
            print_json({"event": "stopping", "job_id": record.job_id, "worker": record.worker})
        elif attached.stop_requested:
            kept = "the predictions so far" if record.job_type == JobType.INFERENCE else "its best model"
            print(f"{printable(record.worker)} is ending the job early and keeps {kept}.")
        else:
            print("The job is finished already.")
        if not as_json:
            still_ends = is_underway(attached.state)
            when, command = (" at its end", "attach") if still_ends else ("", "fetch")
            print(f"Its result{when}: sleap-rtc client {command} {record.job_id[:8]}")

    async def command() -> None:
        await until_interrupted(tell)

    run_command(command, as_json)


@click.command(context_settings=HELP)
@job_argument
@json_option
def cancel(job: str, as_json: bool) -> None:
    """End JOB and throw away what it has made: nothing of it is left on its worker.

    `stop` ends a job early too, and keeps its best model.
    """
    from ...jobs.life import Seen
    from ..jobs.ask import open_asker
    from ..records.files import find, refuse_if_over
    from ..room import until_interrupted

    async def tell() -> None:
        record = find(job)
        if record.state == Seen.COMPLETED:
            refuse_if_over(record)
        async with open_asker(record) as asker:
            await asker.cancel()
        fields: dict[str, Any] = {"job_id": record.job_id, "worker": record.worker}
        if as_json:
            print_json({"event": "cancelled", **fields})
        else:
            print(
                f"Job {record.job_id[:8]} is cancelled; nothing of it is left on {printable(record.worker)}."
            )

    async def command() -> None:
        await until_interrupted(tell)

    run_command(command, as_json)
