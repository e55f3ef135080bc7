"""``client attach`` and ``fetch``: the rest of a job that another process began, and its result."""

from __future__ import annotations

from pathlib import Path

from ...access.place import ConnectionOptions
from ...jobs.life import Seen
from ..display import open_display
from ..events.job import Event, StatusChanged
from ..jobs.attach import attach_to_job, completed_before
from ..records.files import find
from .ask import goes_on
from .interrupts import until_signalled


async def attach(job: str, connection: ConnectionOptions, *, as_json: bool) -> None:
    """Follows a job to its end, and saves its result."""
    record = find(job)
    with open_display(as_json=as_json, job_id=record.job_id) as emit:
        await until_signalled(
            lambda: attach_to_job(record, connection=connection, emit=emit), goes_on(record.job_id)
        )


async def fetch(job: str, connection: ConnectionOptions, *, result_dir: Path | None, as_json: bool) -> None:
    """Saves the result of a job that has finished, by default where the job was to put it."""
    record = find(job)
    with open_display(as_json=as_json, job_id=record.job_id) as emit:
        if record.state == Seen.COMPLETED and record.results and result_dir is None:
            emit(completed_before(record))
            return

        def show(event: Event) -> None:
            if not isinstance(event, StatusChanged):  # `logs` shows how the job went
                emit(event)

        await until_signalled(
            lambda: attach_to_job(
                record, connection=connection, emit=show, only_if_finished=True, out_dir=result_dir
            )
        )
