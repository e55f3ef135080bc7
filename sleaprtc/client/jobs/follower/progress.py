"""How far one job is, by its worker's messages. Knows no clock and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ....errors import JobFailedError
from ....jobs.life import has_begun
from ....protocol.jobs import AppError, JobAttached, JobComplete, JobMessage, JobStatus
from ....protocol.vocabulary import ErrorCode
from ...events.job import Emit, Notice, StatusChanged, is_at_work
from ...events.losses import LossHistory
from .inquiry import last_word_of
from .last_words import end_of, taken_over


class JobProgress:
    """Takes a worker's messages about one job.

    Args:
        worker_id: The job's worker.
        job_id: The client's name for the job.
        emit: Called with each event.
        is_unknown_job: Whether a message is the answer of a worker that has no such job.

    Attributes:
        complete: The worker's word that the job is done, once it is there.
        completed_at: When ``complete`` first came, on the clock of :meth:`take`'s ``now``.
        completed: Set when ``complete`` comes.
        begun: Set when the work is under way, or done.
        has_started: Whether the worker had all inputs and began; a worker that is lost later isn't replaced.
        was_heard: Whether any status came.
        last_seq: The sequence number of the last status.
        losses: The losses that statuses reported.
        is_over: Whether nothing is left to do or undo on the worker.
    """

    def __init__(
        self, *, worker_id: str, job_id: str, emit: Emit, is_unknown_job: Callable[[AppError], bool]
    ) -> None:
        self._worker_id = worker_id
        self._job_id = job_id
        self._emit = emit
        self._is_unknown_job = is_unknown_job
        self.complete: JobComplete | None = None
        self.completed_at: float | None = None
        self.completed = trio.Event()
        self.begun = trio.Event()
        self.has_started = False
        self.was_heard = False
        self.last_seq = 0
        self.losses = LossHistory()
        self.is_over = False

    @property
    def announced_files(self) -> int | None:
        """How many files the result has; None if the worker hasn't announced that."""
        return None if self.complete is None else self.complete.result.file_count

    def end(self) -> None:
        """Notes that nothing is left to do or undo on the worker."""
        self.is_over = True

    def take(self, message: JobMessage, now: float) -> None:
        """Takes a message.

        Raises:
            JobFailedError: The job failed or was cancelled, the worker doesn't know it any more, or it is
                done and has no result.
            TakenOverError: Another process follows the job.
        """
        if isinstance(message, JobStatus):
            self._take_status(message)
        elif isinstance(message, JobComplete):
            self._take_completion(message, now)
        elif isinstance(message, JobAttached):
            self._take_state(message, now)
        elif (end := end_of(message, self._job_id)) is not None:
            self.end()
            raise end
        elif isinstance(message, AppError) and self._is_unknown_job(message):
            self.end()
            raise JobFailedError(
                f"{self._worker_id} doesn't know the job any more.",
                error_code=ErrorCode.UNKNOWN_JOB,
                recoverable=True,
            )
        elif isinstance(message, AppError):
            self._emit(Notice(f"{self._worker_id}: {message.message}"))

    def _take_completion(self, message: JobComplete, now: float) -> None:
        if self.completed_at is None:
            self.completed_at = now
        self.complete = message
        self.completed.set()
        self.begun.set()
        if not message.ready_for_download:
            raise JobFailedError("The worker completed the job but has no result to fetch.")

    def _take_state(self, attached: JobAttached, now: float) -> None:
        """Takes the answer to a question about what was missed."""
        word = last_word_of(attached)
        if attached.last_status is not None:
            self._take_status(attached.last_status)
        if word is not None:
            if self.complete is None:
                self.take(word, now)
        elif attached.follows is False:
            self.end()
            raise taken_over()

    def _take_status(self, status: JobStatus) -> None:
        self.was_heard = True
        if status.seq is not None:
            if status.seq <= self.last_seq:
                return  # sent again to a process that attached
            self.last_seq = status.seq
        self.has_started |= has_begun(status.status)
        if is_at_work(status):
            self.begun.set()
        event = StatusChanged.of(self._worker_id, status)
        self.losses.see(event)
        self._emit(event)
