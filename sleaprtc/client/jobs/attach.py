"""Attaches to a job that another process of the same client started."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ...access.place import ConnectionOptions
from ...errors import JobFailedError, StorageError, TakenOverError, WorkerLostError
from ...jobs.life import State, owes_inputs
from ...protocol.jobs import AppError, JobAttach, JobAttached, JobComplete, JobFailed, JobMessage, JobResult
from ...protocol.vocabulary import JobType, Purpose
from ...signaling.link import Link
from ..events.job import Completed, Emit, Event, Notice
from ..inbox import Inbox
from ..inputs.files import JobFiles, OutgoingFile
from ..inputs.packing import read_with_images
from ..inputs.scratch import Scratch
from ..records.files import JobRecord
from ..records.logbook import Logbook
from ..results.delivery import (
    RESULT_STAYS,
    Destination,
    JobOutcome,
    ModelFolders,
    arrived_files,
    discard_incoming,
    incoming_dir_of,
    make_incoming_dir,
)
from ..results.predictions import PredictionsFile
from ..room import open_room
from .follower.follow import Follower
from .follower.last_words import failure_of
from .follower.watch import PATIENT, Forbearance
from .inquiries.ask import ask_repeatedly, refuse_unfinished, unknown_to_worker
from .track import tracking_inputs
from .train import read_validation

ATTACH_TIMEOUT_SEC: Final = 15.0
ASK_AGAIN_SEC: Final = 2.0
"""A worker that has just been restarted may still be on its way back into the room."""


async def attach_to_job(
    record: JobRecord,
    *,
    connection: ConnectionOptions,
    emit: Emit = lambda _: None,
    only_if_finished: bool = False,
    out_dir: Path | None = None,
    forbearance: Forbearance = PATIENT,
) -> Completed:
    """Gets the missed statuses of a job, follows it to its end, and fetches its result.

    Cancelling this call leaves the job alone.

    Args:
        record: The job, as :func:`sleaprtc.client.records.files.find` has it.
        connection: How to connect; server, room and secret are the record's.
        emit: Called with each event.
        only_if_finished: Whether to leave the job alone if it still runs.
        out_dir: The folder for the result, if not the record's.
        forbearance: How long the worker may be away.

    Raises:
        NotFinishedError: It still runs, with ``only_if_finished``.
        TakenOverError: Yet another process has attached to it.
        JobFailedError: The job failed, or the worker doesn't know it any more.
        WorkerLostError: The worker isn't in the room.
        NetworkError: The server can't be reached.
        RefusedError: The room is gone.
        TransferError: The result didn't get across.
        StorageError: The result can't be written.
    """

    def notice(sentence: str) -> None:
        emit(Notice(sentence))

    connection = record.connection_options(connection)
    destination_dir = Path(record.out_dir) if out_dir is None else out_dir
    logbook = Logbook(record, str(destination_dir))

    def note(event: Event) -> None:
        logbook.see(event)
        emit(event)

    async with open_room(record.endpoints, record.room, on_change=notice) as (link, inbox):
        if only_if_finished:
            await refuse_unfinished(record, link, inbox)
        try:
            return await _attach(record, link, inbox, connection, note, destination_dir, forbearance, logbook)
        except JobFailedError as error:
            logbook.fail(error)
            raise
        except TakenOverError:
            raise  # the record is the other process's now
        except BaseException:
            logbook.detach()
            raise


def completed_before(record: JobRecord) -> Completed:
    """Returns the result of a job that was fetched before.

    Raises:
        StorageError: It isn't where it was put.
    """
    results = record.result_paths
    gone = [path for path in results if not Path(path).exists()]
    if gone:
        raise StorageError(
            f"The result was fetched before, but isn't there any more, and {record.worker} doesn't keep what "
            f"was fetched: {', '.join(gone)}"
        )
    if record.job_type == JobType.INFERENCE:
        return Completed(
            record.job_id,
            record.worker,
            job_type=record.job_type,
            predictions=results[0] if results else None,
            fetched_before=True,
        )
    return Completed(
        record.job_id,
        record.worker,
        model_dirs=results,
        fetched_before=True,
        cut_short=record.message or None,
    )


async def _attach(
    record: JobRecord,
    link: Link,
    inbox: Inbox,
    connection: ConnectionOptions,
    emit: Emit,
    out_dir: Path,
    forbearance: Forbearance,
    logbook: Logbook,
) -> Completed:
    incoming_dir = make_incoming_dir(out_dir, record.job_id)
    try:
        outcome = await _fetch(record, link, inbox, connection, emit, incoming_dir, forbearance, logbook)
    except JobFailedError as error:
        if not isinstance(error, WorkerLostError):
            discard_incoming(incoming_dir)  # nothing more will come into it
        raise
    destination = _destination(record, out_dir)
    try:
        completed = await destination.lay_down(record.job_id, record.worker, outcome, emit)
    except StorageError as error:
        raise logbook.miss(error) from error
    discard_incoming(incoming_dir)
    if (earlier_dir := _earlier_incoming_dir(record)) != incoming_dir and earlier_dir.is_dir():
        discard_incoming(earlier_dir)
    emit(completed)
    return completed


async def _fetch(
    record: JobRecord,
    link: Link,
    inbox: Inbox,
    connection: ConnectionOptions,
    emit: Emit,
    incoming_dir: Path,
    forbearance: Forbearance,
    logbook: Logbook,
) -> JobOutcome:
    attached = await ask_to_follow(record, inbox, emit)
    if attached.state == State.DELIVERED:
        # The worker sent the result to a process that may have ended before it put the result in its place.
        arrived = arrived_files(incoming_dir) or arrived_files(_earlier_incoming_dir(record))
        if not arrived:
            raise _fetched_before(record)
        return JobOutcome(arrived, JobComplete(record.job_id, result=attached.result or JobResult()))
    send_inputs = owes_inputs(attached.state)
    with Scratch() as scratch:
        inputs = await _inputs_again(record, scratch, emit) if send_inputs else ()
        follower = Follower(
            link=link,
            inbox=inbox,
            worker_id=record.worker,
            job_id=record.job_id,
            attach_key=record.attach_key,
            can_ask=True,
            files=JobFiles(inputs, incoming_dir, record.digest_algorithm, record.job_type),
            connection=connection,
            forbearance=forbearance,
            emit=emit,
        )
        try:
            return await follower.run_attached(after_seq=record.last_seq, send_inputs=send_inputs)
        except RESULT_STAYS as error:
            if not follower.is_complete:
                raise
            raise logbook.miss(error) from error


def _earlier_incoming_dir(record: JobRecord) -> Path:
    """The folder in which the result may have arrived when the job was followed before."""
    return incoming_dir_of(Path(record.out_dir), record.job_id)


def _fetched_before(record: JobRecord) -> JobFailedError:
    where = ", ".join(record.results) or record.out_dir
    return JobFailedError(f"The result was fetched before, and its worker no longer keeps it: {where}")


async def _inputs_again(record: JobRecord, scratch: Scratch, emit: Emit) -> tuple[OutgoingFile, ...]:
    """Finds or makes again the files that the earlier process didn't finish sending."""
    if record.job_type == JobType.INFERENCE:
        return await tracking_inputs(record, scratch, emit)
    dataset = await read_with_images(Path(record.dataset), scratch, embed="user", emit=emit)
    files = [OutgoingFile(Path(path), Purpose.CONFIG) for path in record.configs]
    if record.validation is not None:
        validation = await read_validation(Path(record.validation), scratch, emit)
        files.append(OutgoingFile(validation.path, Purpose.VALIDATION))
    return (*files, OutgoingFile(dataset.path, Purpose.DATASET))


def _destination(record: JobRecord, folder: Path) -> Destination:
    """Returns how a job's result is put into a folder."""
    if record.out_file is None:
        return ModelFolders(folder)
    # A file may be replaced only in the folder that the job was begun for.
    replace = record.replace and folder == Path(record.out_dir)
    return PredictionsFile(folder / record.out_file, Path(record.dataset), replace)


async def ask_to_follow(record: JobRecord, inbox: Inbox, emit: Emit) -> JobAttached:
    """Asks the worker to let this process follow a job; returns the job's state there.

    Raises:
        JobFailedError: The job failed, or the worker doesn't know it any more.
        WorkerLostError: The worker isn't in the room, or doesn't answer.
    """

    def understand(message: JobMessage) -> JobAttached | None:
        if message.job_id != record.job_id:
            return None
        if isinstance(message, AppError):
            raise unknown_to_worker(record)
        if isinstance(message, JobFailed):
            raise failure_of(message.error)
        return message if isinstance(message, JobAttached) else None

    def notice_silence() -> None:
        emit(Notice(f"{record.worker} doesn't answer; asking for another {ATTACH_TIMEOUT_SEC:g} seconds."))

    attached = await ask_repeatedly(
        inbox,
        record.worker,
        JobAttach(record.job_id, record.attach_key, record.last_seq, follow=True),
        understand,
        timeout_sec=ATTACH_TIMEOUT_SEC,
        ask_again_sec=ASK_AGAIN_SEC,
        on_silence=notice_silence,
    )
    if attached is None:
        raise WorkerLostError(
            f"{record.worker} isn't in the room, or doesn't answer. Try again when it is back."
        )
    return attached
