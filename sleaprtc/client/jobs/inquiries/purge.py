"""Has a worker delete everything that it has of a job, and confirm that it is gone."""

from __future__ import annotations

import time
from typing import Final

from ....errors import JobFailedError, StillRunningError, UnknownJobError, UsageError, WorkerAwayError
from ....jobs import life
from ....jobs.life import Seen
from ....jobs.properties import WORKER_ROLE, read_worker
from ....protocol.features import PURGE_FEATURE
from ....protocol.jobs import AppError, JobMessage, JobPurge, JobPurged
from ....protocol.vocabulary import ErrorCode
from ....signaling.link import Link
from ...inbox import Inbox
from ...records.files import JobRecord, note_purged
from ...records.job_ids import short_id
from ...room import open_room
from .ask import Asker, ask_repeatedly

PURGE_TIMEOUT_SEC: Final = 60.0
"""Deleting a large dataset takes a while."""

ASK_AGAIN_SEC: Final = 5.0
"""Asking again does no harm: a worker confirms each time that nothing is left."""


async def purge_job(record: JobRecord, *, even_unfetched: bool) -> None:
    """Returns once the job's worker has confirmed that it has nothing of the job any more.

    Args:
        record: The job's record, which is marked.
        even_unfetched: Whether a result may be deleted that isn't here.

    Raises:
        StillRunningError: The job isn't over.
        UsageError: Its result hasn't been fetched.
        WorkerAwayError: The worker isn't in the room, or doesn't answer.
        UnknownJobError: The worker doesn't know this user as the job's client.
        JobFailedError: The worker can't delete something, or doesn't know how to purge.
    """
    async with open_room(record.endpoints, record.room, on_change=lambda _: None) as (link, inbox):
        await _check_worker(record, link)
        await _check_state(record, link, inbox, even_unfetched=even_unfetched)
        purged = await ask_repeatedly(
            inbox,
            record.worker,
            JobPurge(record.job_id, record.attach_key),
            lambda message: _understand(record, message),
            timeout_sec=PURGE_TIMEOUT_SEC,
            ask_again_sec=ASK_AGAIN_SEC,
        )
    if purged is None:
        raise WorkerAwayError(
            f"{record.worker} hasn't confirmed that it deleted everything. Purge the job again."
        )
    note_purged(record, time.time())


async def _check_worker(record: JobRecord, link: Link) -> None:
    found = [peer for peer in await link.discover({"role": WORKER_ROLE}) if peer.peer_id == record.worker]
    if not found:
        raise WorkerAwayError(
            f"{record.worker} isn't in the room now, and still has what it keeps of the job."
        )
    if PURGE_FEATURE not in (read_worker(found[0].metadata.properties).features or ()):
        raise JobFailedError(
            f"{record.worker} runs a version of sleap-rtc that can't purge a job: its owner can update it."
        )


async def _check_state(record: JobRecord, link: Link, inbox: Inbox, *, even_unfetched: bool) -> None:
    try:
        attached = await Asker(record, link, inbox).state()
    except UnknownJobError:
        return  # it may still have files of a job that it has forgotten
    if life.is_underway(attached.state):
        raise _still_running(record)
    if life.keeps_result(attached.state) and record.state != Seen.COMPLETED and not even_unfetched:
        job = short_id(record.job_id)
        raise UsageError(
            f"The result of job {job} waits on {record.worker} and would be lost: get it with "
            f"`sleap-rtc client fetch {job}`, or add --unfetched."
        )


def _understand(record: JobRecord, message: JobMessage) -> JobPurged | None:
    """Returns the worker's confirmation; None for another message. Raises for a refusal."""
    if isinstance(message, JobPurged):
        return message
    if not isinstance(message, AppError):
        return None
    if message.error_code == ErrorCode.STILL_RUNNING:
        raise _still_running(record)
    if message.error_code == ErrorCode.UNKNOWN_JOB:
        raise UnknownJobError(f"{record.worker} has a job with that id, but it isn't this user's.")
    raise JobFailedError(f"{record.worker}: {message.message}", error_code=message.error_code)


def _still_running(record: JobRecord) -> StillRunningError:
    job = short_id(record.job_id)
    return StillRunningError(
        f"Job {job} still runs on {record.worker}. End it first: `sleap-rtc client stop {job}` keeps its "
        f"best model, `sleap-rtc client cancel {job}` keeps nothing."
    )
