"""The end of a job without a result: what a worker's message means, and how a client cancels a job."""

from __future__ import annotations

from typing import Final

import trio

from ....errors import JobFailedError, SleapRTCError, TakenOverError
from ....jobs.life import Sign, sign_of
from ....protocol.jobs import AppError, JobAttached, JobCancel, JobCancelled, JobError, JobFailed, JobMessage
from ....protocol.vocabulary import ErrorCode
from ...inbox import Inbox

CANCEL_DELIVERY_SEC: Final = 8.0
"""How long delivering a cancellation to the server may take; a half-open connection is replaced meanwhile."""

CANCEL_WAIT_SEC: Final = 3.0
"""How long the worker may take to confirm a cancellation."""


async def cancel_on_worker(inbox: Inbox, worker_id: str, cancel: JobCancel) -> bool:
    """Cancels a job. Returns whether the worker confirmed in time that nothing of the job is left there."""
    with trio.move_on_after(CANCEL_DELIVERY_SEC):
        try:
            await inbox.deliver(worker_id, cancel)
        except SleapRTCError:
            return False
    with trio.move_on_after(CANCEL_WAIT_SEC):
        while True:
            sender, message = await inbox.next_job_message()
            if sender == worker_id and isinstance(message, JobCancelled | JobFailed):
                return message.job_id == cancel.job_id
    return False


def end_of(message: JobMessage, job_id: str) -> SleapRTCError | None:
    """Returns the error that ends the following of a job; None if the message doesn't end it."""
    if isinstance(message, JobFailed):
        return failure_of(message.error)
    if isinstance(message, JobCancelled):
        return JobFailedError("The worker dropped the job.", error_code=ErrorCode.CANCELLED, recoverable=True)
    if (
        isinstance(message, AppError)
        and message.error_code == ErrorCode.TAKEN_OVER
        and message.job_id == job_id
    ):
        return taken_over()
    return None


def failure_of(error: JobError | None) -> JobFailedError:
    """Returns the error of a job that its worker reports as failed; None if the worker doesn't say why."""
    if error is None:
        return JobFailedError("The job failed on the worker.")
    return JobFailedError(error.message, error_code=error.code, recoverable=error.recoverable)


def error_of(attached: JobAttached) -> JobError:
    """Returns why a job is over without a result, as its worker reports it."""
    if attached.error is not None:
        return attached.error
    if sign_of(attached.state) is Sign.CANCELLATION:
        return JobError(ErrorCode.CANCELLED, "The job was cancelled.")
    return JobError(JobFailedError.code, "The job failed on the worker.")


def taken_over() -> TakenOverError:
    """Returns the error for a process whose job is now followed by another process of the same client."""
    return TakenOverError("The job is now followed by another process of yours; it continues.")
