"""Makes a job's messages to its client from its trainer's events and results."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path
from typing import Final

import attrs

from ...base.sentences import as_sentence
from ...errors import SleapRTCError, StorageError
from ...protocol.jobs import JobComplete, JobError, JobFailed, JobResult, StatusDetails
from ...protocol.limits import MIB
from ...protocol.vocabulary import ErrorCode, Phase
from ...transfer.disk import DiskFullError
from ..trainer import (
    EpochEnded,
    FramesPredicted,
    PredictionEvent,
    PredictionOutcome,
    Stage,
    StageStarted,
    TrainingEvent,
    TrainingOutcome,
)
from .statuses import StatusReporter

FAILED_UNEXPECTEDLY: Final = "The worker failed unexpectedly; its log says more."


def report_training(reporter: StatusReporter, event: TrainingEvent) -> None:
    """Reports a training event as a status."""
    if isinstance(event, StageStarted):
        reporter.report(
            Phase.RUNNING,
            reporter.progress if event.stage != Stage.PREPARING else 0.0,
            details=StatusDetails(model=event.model, device=event.device),
            message=event.message,
        )
    else:
        reporter.report(Phase.RUNNING, event.progress, details=_epoch_details(event))


def report_prediction(reporter: StatusReporter, event: PredictionEvent) -> None:
    """Reports a prediction event as a status."""
    if isinstance(event, StageStarted):
        progress = reporter.progress if event.stage == Stage.FINALIZING else 0.0
        reporter.report(Phase.RUNNING, progress, message=event.message)
    else:
        reporter.report(Phase.RUNNING, event.frames_done / event.total_frames, details=_frame_details(event))


def _frame_details(event: FramesPredicted) -> StatusDetails:
    rate = event.frames_per_sec
    remaining_sec = (event.total_frames - event.frames_done) / rate if rate > 0 else None
    return StatusDetails(
        estimated_remaining_minutes=None if remaining_sec is None else round(remaining_sec / 60, 2),
        device=event.device,
        frames_done=event.frames_done,
        total_frames=event.total_frames,
        frames_per_sec=round(rate, 2),
    )


def _epoch_details(event: EpochEnded) -> StatusDetails:
    remaining_sec = event.elapsed_sec * (1 / event.progress - 1) if event.progress > 0 else None
    return StatusDetails(
        current_epoch=event.epoch,
        total_epochs=event.total_epochs,
        current_loss=event.train_loss,
        val_loss=event.val_loss,
        estimated_remaining_minutes=None if remaining_sec is None else round(remaining_sec / 60, 2),
        model=event.model,
        device=event.device,
    )


MAKE_ROOM: Final = "The worker's owner can make room, or name a folder on another disk (--work-dir)."
"""The remedy for a full disk, for a client that can't see the worker's files."""


def failure(job_id: str, error: SleapRTCError) -> JobFailed:
    """Returns the message for a job that ended with one of this package's errors."""
    failed = _failure(job_id, error)
    if not is_disk_full(error):
        return failed
    detail = attrs.evolve(failed.error, message=f"{as_sentence(failed.error.message)} {MAKE_ROOM}")
    return attrs.evolve(failed, error=detail)


def is_disk_full(error: SleapRTCError) -> bool:
    """Whether a job ended for lack of room on the worker's disk."""
    if getattr(error, "error_code", None) == ErrorCode.DISK_FULL or isinstance(error, DiskFullError):
        return True
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)


def _failure(job_id: str, error: SleapRTCError) -> JobFailed:
    if isinstance(error, StorageError):  # not the job's fault: another worker may have room for it
        return JobFailed(
            job_id, JobError(error.code, f"On the worker: {as_sentence(error)}", recoverable=True)
        )
    code = getattr(error, "error_code", error.code)
    recoverable = bool(getattr(error, "recoverable", False))
    return JobFailed(job_id, JobError(code, str(error), recoverable))


def cancelled(job_id: str) -> JobFailed:
    """Returns the last word on a job that its client has cancelled, for that client's other processes."""
    return JobFailed(job_id, JobError(ErrorCode.CANCELLED, "You cancelled the job."))


def stopped_by_owner(job_id: str) -> JobFailed:
    """Returns the last word on a job whose inputs weren't all here when the worker's owner stopped it."""
    return JobFailed(job_id, JobError(ErrorCode.WORKER_STOPPED, "The worker was stopped by its owner.", True))


def failed_unexpectedly(job_id: str) -> JobFailed:
    """Returns the last word on a job that a fault of this program has ended."""
    return JobFailed(job_id, JobError(ErrorCode.INTERNAL, FAILED_UNEXPECTEDLY, True))


def completion(job_id: str, outcome: TrainingOutcome, archive: Path) -> JobComplete:
    """Returns the message for a job whose models are in ``archive``."""
    return JobComplete(
        job_id,
        result=JobResult(
            model_size_mb=round(archive.stat().st_size / MIB, 3),
            final_loss=outcome.final_loss,
            training_duration_minutes=round(outcome.duration_sec / 60, 3),
            total_epochs=outcome.total_epochs,
            file_count=1,
            device=outcome.device,
            cut_short=outcome.cut,
        ),
    )


def prediction_completion(job_id: str, outcome: PredictionOutcome, file: Path) -> JobComplete:
    """Returns the message for a job whose predictions are in ``file``."""
    return JobComplete(
        job_id,
        result=JobResult(
            predictions_size_mb=round(file.stat().st_size / MIB, 3),
            frame_count=outcome.frame_count,
            inference_duration_seconds=round(outcome.duration_sec, 3),
            file_count=1,
            device=outcome.device,
        ),
    )
