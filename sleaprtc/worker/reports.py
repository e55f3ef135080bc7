"""What a job says to its client, made from what its trainer says."""

from __future__ import annotations

from pathlib import Path

from ..errors import SleapRTCError, StorageError
from ..protocol.jobs import JobComplete, JobError, JobFailed, JobResult, StatusDetails
from ..protocol.limits import MIB
from .reporter import StatusReporter
from .trainers.base import (
    EpochEnded,
    FramesPredicted,
    PredictionEvent,
    PredictionOutcome,
    StageStarted,
    TrainingEvent,
    TrainingOutcome,
)


def report_training(reporter: StatusReporter, event: TrainingEvent) -> None:
    """Turns a trainer's event into a status."""
    if isinstance(event, StageStarted):
        reporter.report(
            "running",
            reporter.progress if event.stage != "preparing" else 0.0,
            details=StatusDetails(model=event.model, device=event.device),
            message=event.message,
        )
    else:
        reporter.report("running", event.progress, details=_epoch_details(event))


def report_prediction(reporter: StatusReporter, event: PredictionEvent) -> None:
    """The same for a prediction's events."""
    if isinstance(event, StageStarted):
        progress = reporter.progress if event.stage == "finalizing" else 0.0
        reporter.report("running", progress, message=event.message)
    else:
        reporter.report("running", event.frames_done / event.total_frames, details=_frame_details(event))


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


def failure(job_id: str, error: SleapRTCError) -> JobFailed:
    """Makes the message for a job that ended with one of this package's errors."""
    if isinstance(error, StorageError):  # not the job's fault: another worker may have room for it
        return JobFailed(job_id, JobError(error.code, f"On the worker: {error}", recoverable=True))
    code = getattr(error, "error_code", error.code)
    recoverable = bool(getattr(error, "recoverable", False))
    return JobFailed(job_id, JobError(code, str(error), recoverable))


def cancelled_elsewhere(job_id: str) -> JobFailed:
    """Makes the message for the process that follows a job when another one of its client cancels it."""
    return JobFailed(job_id, JobError("CANCELLED", "The job was cancelled by another process of yours."))


def completion(job_id: str, outcome: TrainingOutcome, archive: Path) -> JobComplete:
    """Makes the message for a job whose model lies in ``archive``."""
    return JobComplete(
        job_id,
        result=JobResult(
            model_size_mb=round(archive.stat().st_size / MIB, 3),
            final_loss=outcome.final_loss,
            training_duration_minutes=round(outcome.duration_sec / 60, 3),
            total_epochs=outcome.total_epochs,
            file_count=1,
            device=outcome.device,
        ),
    )


def prediction_completion(job_id: str, outcome: PredictionOutcome, file: Path) -> JobComplete:
    """Makes the message for a job whose predictions lie in ``file``."""
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
