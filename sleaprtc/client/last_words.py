"""What a worker's message says of a job's beginning, and of its end without a result here."""

from __future__ import annotations

from typing import Final

from ..errors import JobFailedError, SleapRTCError, TakenOverError
from ..protocol.jobs import AppError, JobCancelled, JobFailed, JobMessage, JobStatus

TAKEN_OVER: Final = "TAKEN_OVER"
"""``error_code`` of the word to a process whose job another process of the same client has attached to."""


def end_of(message: JobMessage, job_id: str) -> SleapRTCError | None:
    """Makes the error with which a process stops following a job; None where the message isn't its end."""
    if isinstance(message, JobFailed):
        error = message.error
        return JobFailedError(error.message, error_code=error.code, recoverable=error.recoverable)
    if isinstance(message, JobCancelled):
        return JobFailedError("The worker dropped the job.", error_code="CANCELLED", recoverable=True)
    if isinstance(message, AppError) and message.error_code == TAKEN_OVER and message.job_id == job_id:
        return TakenOverError("The job is followed elsewhere now, by another process of yours; it goes on.")
    return None


def is_at_work(status: JobStatus) -> bool:
    """Whether the work itself is under way: what can be found wrong with the inputs was looked at."""
    details = status.details
    under_way = details.model or details.current_epoch or details.frames_done or status.progress > 0
    return status.status == "sending" or (status.status == "running" and bool(under_way))
