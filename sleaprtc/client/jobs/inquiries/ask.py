"""Asks a worker about a job, or to end one, without taking the job over.

The process that follows the job, in another terminal, isn't disturbed. The job's key shows who may ask.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar

import attrs
import trio

from ....base.sentences import as_sentence
from ....errors import (
    JobFailedError,
    NotFinishedError,
    UnknownJobError,
    UnknownMessageTypeError,
    WorkerAwayError,
)
from ....jobs import life
from ....jobs.life import Seen, Sign, State
from ....jobs.properties import WORKER_ROLE
from ....protocol.jobs import (
    AppError,
    JobAttach,
    JobAttached,
    JobCancel,
    JobCancelled,
    JobLog,
    JobLogRequest,
    JobMessage,
    JobStop,
)
from ....protocol.vocabulary import CancelReason, ErrorCode
from ....signaling.link import Link
from ...events.job import StatusChanged
from ...inbox import Inbox
from ...records.files import JobRecord, amend
from ...records.job_ids import short_id
from ...room import open_room
from ..follower.last_words import error_of, failure_of

ANSWER_TIMEOUT_SEC: Final = 8.0
ASK_AGAIN_SEC: Final = 3.0
"""A message to a worker that just comes back into the room is lost."""

CANCEL_TIMEOUT_SEC: Final = 30.0
"""Ending a trainer's processes and deleting a large dataset take a while."""

Answer = TypeVar("Answer", JobAttached, JobCancelled, JobLog)
Found = TypeVar("Found")


class Asker:
    """Asks one job's worker. Made by :func:`open_asker`."""

    def __init__(self, record: JobRecord, link: Link, inbox: Inbox) -> None:
        self.record = record
        self._link = link
        self._inbox = inbox

    async def state(self) -> JobAttached:
        """Asks for the job's state.

        Raises:
            WorkerAwayError: The worker isn't in the room, or doesn't answer.
            UnknownJobError: It doesn't know the job (any more).
        """
        request = JobAttach(self.record.job_id, self.record.attach_key, self.record.last_seq, follow=False)
        return await self._ask(request, JobAttached, ANSWER_TIMEOUT_SEC)

    async def log(self, after_seq: int, log_offset_bytes: int | None) -> JobLog:
        """Asks for what the job said after a status, and what its trainer printed from an offset on.

        Raises:
            WorkerAwayError: The worker isn't in the room, or doesn't answer.
            UnknownJobError: It doesn't know the job (any more).
            JobFailedError: It can't be asked that.
        """
        request = JobLogRequest(
            self.record.job_id, self.record.attach_key, max(after_seq, 0), log_offset_bytes
        )
        return await self._ask(request, JobLog, ANSWER_TIMEOUT_SEC)

    async def stop(self) -> JobAttached:
        """Ends training early; the best model is kept. Returns the job's state then.

        Raises:
            WorkerAwayError: The worker isn't in the room, or doesn't answer.
            UnknownJobError: It doesn't know the job (any more).
            JobFailedError: The worker accepts that only from the process that follows the job.
        """
        await self._check_presence()
        await self._inbox.deliver(self.record.worker, JobStop(self.record.job_id, self.record.attach_key))
        with self._already_sent():
            attached = await self.state()
        if life.is_underway(attached.state) and not attached.stop_requested:
            raise JobFailedError(
                f"{self.record.worker} continues the job: only the process that follows it may end it "
                "early there."
            )
        return attached

    async def cancel(self) -> None:
        """Ends the job, and waits until the worker confirms that nothing of it is left.

        Raises:
            WorkerAwayError: The worker isn't in the room, or doesn't answer.
            UnknownJobError: It doesn't know this user as the job's client.
        """
        request = JobCancel(self.record.job_id, CancelReason.CLIENT_CANCELLED, self.record.attach_key)
        await self._check_presence()
        with self._already_sent():
            await self._repeat(request, JobCancelled, CANCEL_TIMEOUT_SEC)
        amend(self.record, Sign.CANCELLATION, message="", ended_at=time.time())

    async def _ask(self, request: JobMessage, answer: type[Answer], timeout_sec: float) -> Answer:
        await self._check_presence()
        return await self._repeat(request, answer, timeout_sec)

    async def _repeat(self, request: JobMessage, answer: type[Answer], timeout_sec: float) -> Answer:
        found = await ask_repeatedly(
            self._inbox,
            self.record.worker,
            request,
            lambda message: self._understand(message, answer),
            timeout_sec=timeout_sec,
            ask_again_sec=ASK_AGAIN_SEC,
        )
        if found is None:
            raise WorkerAwayError(f"{self.record.worker} is in the room, but doesn't answer.")
        return found

    @contextmanager
    def _already_sent(self) -> Iterator[None]:
        """Adds to the error of a silent worker that the request may still be carried out."""
        try:
            yield
        except WorkerAwayError as error:
            job = short_id(self.record.job_id)
            raise WorkerAwayError(
                f"{as_sentence(error)} The request was sent and may still be carried out; "
                f"`sleap-rtc client status {job}` shows the job's state."
            ) from error

    async def _check_presence(self) -> None:
        peers = await self._link.discover({"role": WORKER_ROLE})
        if all(peer.peer_id != self.record.worker for peer in peers):
            raise WorkerAwayError(f"{self.record.worker} isn't in the room now.")

    def _understand(self, message: JobMessage, answer: type[Answer]) -> Answer | None:
        """Returns an answer; None for another message. Raises for a refusal."""
        record = self.record
        if isinstance(message, answer):
            return message
        if not isinstance(message, AppError):
            return None
        if message.error_code == UnknownMessageTypeError.code:
            raise JobFailedError(f"{record.worker} can't be asked that: {as_sentence(message.message)}")
        raise unknown_to_worker(record)


def unknown_to_worker(record: JobRecord) -> UnknownJobError:
    """Returns the error for a job that its worker doesn't know, with the reason if that is known here."""
    if record.purged_at is not None:
        return UnknownJobError(f"The job was purged: {record.worker} has nothing of it any more.")
    if record.state == Seen.CANCELLED:
        return UnknownJobError(f"The job was cancelled: {record.worker} has nothing of it any more.")
    return UnknownJobError(f"{record.worker} doesn't know this job any more.")


async def ask_repeatedly(
    inbox: Inbox,
    worker_id: str,
    request: JobMessage,
    understand: Callable[[JobMessage], Found | None],
    *,
    timeout_sec: float,
    ask_again_sec: float,
    on_silence: Callable[[], None] = lambda: None,
) -> Found | None:
    """Sends a request about a job until its worker answers.

    Args:
        inbox: Writes to the worker, and has what it writes back.
        worker_id: The worker.
        request: The request. It is sent again since a message to a worker that just comes back is lost.
        understand: Returns the answer that a message is, or None if it is none. May raise.
        timeout_sec: How long to ask.
        ask_again_sec: How long to wait before the request is repeated.
        on_silence: Called when the first request got no answer.

    Returns:
        None if no answer came.

    Raises:
        SignalingLostError: The server can't be reached.
        RefusedError: The room is gone.
    """
    with trio.move_on_after(timeout_sec):
        for attempt in itertools.count(1):
            await inbox.send(worker_id, request)
            with trio.move_on_after(ask_again_sec):
                return await _next_answer(inbox, worker_id, request.job_id, understand)
            if attempt == 1:
                on_silence()
    return None


async def _next_answer(
    inbox: Inbox, worker_id: str, job_id: str | None, understand: Callable[[JobMessage], Found | None]
) -> Found:
    while True:
        sender, message = await inbox.next_job_message()
        if sender == worker_id and message.job_id in (None, job_id):
            answer = understand(message)
            if answer is not None:
                return answer


@asynccontextmanager
async def open_asker(record: JobRecord) -> AsyncIterator[Asker]:
    """Joins the job's room to ask its worker, until the block is left.

    Raises:
        NetworkError: The server can't be reached.
        RefusedError: The room is gone.
    """
    async with open_room(record.endpoints, record.room, on_change=lambda _: None) as (link, inbox):
        yield Asker(record, link, inbox)


async def refuse_unfinished(record: JobRecord, link: Link, inbox: Inbox) -> None:
    """Raises if a job has no result to fetch yet.

    Raises:
        NotFinishedError: It still runs.
        JobFailedError: It failed, or the worker doesn't know it any more.
        WorkerAwayError: The worker isn't in the room, or doesn't answer.
    """
    attached = await Asker(record, link, inbox).state()
    note_answer(record, attached)
    if life.is_underway(attached.state):
        raise NotFinishedError(f"The job isn't finished yet: {progress_of(attached)}")
    if life.ended_without_result(attached.state):
        raise failure_of(error_of(attached))


def progress_of(attached: JobAttached) -> str:
    """Returns how far a job is, as a sentence."""
    status = attached.last_status
    if attached.state == State.QUEUED:
        return "it is waiting for a slot on its worker."
    if attached.state == State.RECEIVING:
        return "its worker is waiting for the dataset."
    if status is None:
        return "it is running."
    epoch, left = status.details.current_epoch, status.details.estimated_remaining_minutes
    far = f"epoch {epoch} of {status.details.total_epochs or '?'}" if epoch else f"{status.progress:.0%}"
    if left is None:
        return f"{far}."
    return f"{far}, {f'about {left:.0f} min' if left >= 1 else 'less than a minute'} left."


def note_answer(record: JobRecord, attached: JobAttached) -> JobRecord:
    """Records a worker's answer about a job; returns the record as it is then."""
    changes: dict[str, object] = {}
    sign = Sign.HEARD
    status = attached.last_status
    if status is not None:
        event = StatusChanged.of(record.worker, status)
        changes |= {"last_status": attrs.asdict(event), "last_seen_at": status.timestamp}
    if life.ended_without_result(attached.state):
        error = failure_of(error_of(attached))
        sign = Sign.CANCELLATION if error.error_code == ErrorCode.CANCELLED else Sign.FAILURE
        message = "" if attached.error is None else attached.error.message
        changes |= {"message": message, "ended_at": attached.since or time.time()}
    return amend(record, sign, **changes)
