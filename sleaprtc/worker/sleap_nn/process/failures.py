"""Turns a failed runner into a helpful error."""

from __future__ import annotations

import signal
from collections.abc import Collection
from typing import Final

from ....errors import (
    InvalidDatasetError,
    InvalidModelError,
    InvalidTrainingConfigError,
    SleapRTCError,
    TrainerError,
)
from ....protocol.vocabulary import ErrorCode
from .events import RunnerFailed

FULL_DISK_BYTES: Final = 16 * 2**20
"""A training that ends without a report has most likely filled a disk with less free space than this."""

RECOVERABLE_CODES: Final[Collection[str]] = frozenset(
    {ErrorCode.DISK_FULL, ErrorCode.KILLED, ErrorCode.NO_TRAINER}
)
"""Causes that lie in the worker's machine rather than in the job."""

MAX_MESSAGE_CHARS: Final = 1000


def reported_failure(failed: RunnerFailed) -> SleapRTCError:
    """Returns the error for a failure that the runner itself reports."""
    code, message = failed.code, failed.message[:MAX_MESSAGE_CHARS]
    if code == InvalidDatasetError.code:
        return InvalidDatasetError(message)
    if code == InvalidTrainingConfigError.code:
        return InvalidTrainingConfigError(message)
    if code == InvalidModelError.code:
        return InvalidModelError(message)
    return TrainerError(message, error_code=code, recoverable=code in RECOVERABLE_CODES)


def silent_failure(
    exit_status: int | None, log_tail: str, free_bytes: int, work: str = "training"
) -> TrainerError:
    """Returns the error for a runner that ended or fell silent without a report.

    Args:
        exit_status: Negative for a signal, None if the runner still runs.
        log_tail: The last lines of its log.
        free_bytes: Free space where it writes.
        work: What it was doing, in one word.
    """
    if free_bytes < FULL_DISK_BYTES:
        error = TrainerError("The worker's disk is full.", error_code=ErrorCode.DISK_FULL, recoverable=True)
    elif exit_status == -signal.SIGKILL:
        error = TrainerError(
            f"The operating system killed the {work} process, most likely for lack of memory.",
            error_code=ErrorCode.KILLED,
            recoverable=True,
        )
    elif exit_status is not None and exit_status < 0:
        error = TrainerError(
            f"The {work} process was ended by {_signal_name(-exit_status)}.",
            error_code=ErrorCode.KILLED,
            recoverable=True,
        )
    else:
        last_line = log_tail.rpartition("\n")[2][:300]
        said = f"; its last output was: {last_line}" if last_line else ""
        error = TrainerError(
            f"The {work} process ended without a result{said}.", error_code=ErrorCode.NO_RESULT
        )
    if log_tail:
        error.add_note(log_tail)
    return error


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
