"""``client status``, ``logs``, ``stop``, ``cancel`` and ``purge``: questions and orders to a job's worker.

They need no data channel, and don't disturb the process that follows the job.
"""

from __future__ import annotations

import time

import attrs

from ...base.printable import printable
from ...commandline.json_lines import print_json
from ...jobs.life import Seen, ended_without_result, is_underway
from ...protocol.vocabulary import JobType
from ..display.job_lines import state_lines
from ..display.log_lines import JSONLog, PlainLog
from ..events.job import as_json_object
from ..events.orders import Cancelled, Purged, Stopping
from ..jobs.follower.last_words import error_of, failure_of
from ..jobs.inquiries.ask import open_asker
from ..jobs.inquiries.logs import read_log
from ..jobs.inquiries.purge import purge_job
from ..jobs.inquiries.state import look
from ..records.files import find, refuse_if_over
from ..records.job_ids import short_id
from .interrupts import until_signalled


def goes_on(job_id: str) -> str:
    """The sentence for an interrupt that ends only the display of a job, and not the job."""
    job = short_id(job_id)
    return (
        f"Job {job} continues without this command. To end it early: sleap-rtc client stop {job}; "
        f"to follow it again: sleap-rtc client attach {job}"
    )


async def show_status(job: str, *, as_json: bool) -> None:
    """Prints a job's state; if its worker is away, the last that was seen of it."""
    record = find(job)
    seen = await until_signalled(lambda: look(record))
    if as_json:
        print_json({"event": seen.state.event, **attrs.asdict(seen.state)})
    else:
        for line in state_lines(seen.state, time.time()):
            print(line)
    if seen.error is not None:
        raise seen.error


async def show_logs(job: str, *, follow: bool, as_json: bool) -> None:
    """Prints a job's log, with ``follow`` until the job is over."""
    record = find(job)

    async def show() -> None:
        out = JSONLog(record) if as_json else PlainLog(record)
        async with open_asker(record) as asker:
            async for part in read_log(asker, follow=follow):
                out.show(part)
                state = part.state
            if ended_without_result(state):
                out.show_failure(failure_of(error_of(await asker.state())))

    sentence = goes_on(record.job_id) if follow and not record.is_over else "Cancelled."
    await until_signalled(show, sentence)


async def stop_job(job: str, *, as_json: bool) -> None:
    """Ends a job early and prints what it keeps."""

    async def stop() -> None:
        record = find(job)
        refuse_if_over(record)
        async with open_asker(record) as asker:
            attached = await asker.stop()
        if ended_without_result(attached.state):
            raise failure_of(error_of(attached))
        if as_json:
            print_json(as_json_object(Stopping(record.job_id, record.worker)))
            return
        if attached.stop_requested:
            kept = "the predictions so far" if record.job_type == JobType.INFERENCE else "its best model"
            print(f"{printable(record.worker)} is ending the job early and keeps {kept}.")
        else:
            print("The job has already finished.")
        when, command = (" at its end", "attach") if is_underway(attached.state) else ("", "fetch")
        print(f"Its result{when}: sleap-rtc client {command} {short_id(record.job_id)}")

    await until_signalled(stop)


async def cancel_job(job: str, *, as_json: bool) -> None:
    """Ends a job and discards what it has made."""

    async def cancel() -> None:
        record = find(job)
        if record.state == Seen.COMPLETED:
            refuse_if_over(record)
        async with open_asker(record) as asker:
            await asker.cancel()
        if as_json:
            print_json(as_json_object(Cancelled(record.job_id, record.worker)))
        else:
            name, worker = short_id(record.job_id), printable(record.worker)
            print(f"Job {name} is cancelled; nothing of it is left on {worker}.")

    await until_signalled(cancel)


async def purge(job: str, *, even_unfetched: bool, as_json: bool) -> None:
    """Has a job's worker delete everything that it has of the job."""

    async def work() -> None:
        record = find(job)
        await purge_job(record, even_unfetched=even_unfetched)
        if as_json:
            print_json(as_json_object(Purged(record.job_id, record.worker)))
            return
        name, worker = short_id(record.job_id), printable(record.worker)
        print(f"Job {name} is purged: {worker} has deleted its files, its log and its notes about it.")
        here = " Results here stay." if record.results else ""
        print(f"This machine still lists it.{here} To forget it here: sleap-rtc client jobs --forget {name}")

    await until_signalled(work)
