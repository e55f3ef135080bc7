"""A job's end without a result here: what a worker's message says of it, and how a client brings it about."""

from __future__ import annotations

from typing import Final

import trio

from ...errors import JobFailedError, SleapRTCError, TakenOverError
from ...protocol.jobs import AppError, JobCancel, JobCancelled, JobFailed, JobMessage
from ..inbox import Inbox

TAKEN_OVER: Final = "TAKEN_OVER"
"""``error_code`` of the word to a process whose job another process of the same client has attached to."""

CANCEL_DELIVERY_SEC: Final = 8.0
"""How long the server may take to have a cancellation: a half-open connection is replaced meanwhile."""

CANCEL_WAIT_SEC: Final = 3.0
"""How long the worker may take to answer it."""


async def cancel_on_worker(inbox: Inbox, worker_id: str, cancel: JobCancel) -> bool:
    """Cancels a job and waits for the worker's word that nothing is left there; False where none comes."""
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
    """Makes the error with which a process stops following a job; None where the message isn't its end."""
    if isinstance(message, JobFailed):
        error = message.error
        return JobFailedError(error.message, error_code=error.code, recoverable=error.recoverable)
    if isinstance(message, JobCancelled):
        return JobFailedError("The worker dropped the job.", error_code="CANCELLED", recoverable=True)
    if isinstance(message, AppError) and message.error_code == TAKEN_OVER and message.job_id == job_id:
        return taken_over()
    return None


def taken_over() -> TakenOverError:
    """Makes the error of a process whose job another one of the same client follows now."""
    return TakenOverError("The job is followed elsewhere now, by another process of yours; it goes on.")
