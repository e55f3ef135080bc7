"""How long a job may take; a training is judged from those that this worker has done."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

import attrs

from ..protocol.jobs import JobRequest

OVERHEAD_SEC: Final = 30.0
"""Starting the interpreter and evaluating at the end: measured at 15 to 40 s with sleap-nn 0.3 on a CPU."""

GPU_SEC_PER_FRAME_EPOCH: Final = 0.02
CPU_SEC_PER_FRAME_EPOCH: Final = 0.2
"""First guesses, for a worker without a past: of the right order for a small U-Net on 512x512 frames."""

GPU_SEC_PER_PREDICTED_FRAME: Final = 0.01
CPU_SEC_PER_PREDICTED_FRAME: Final = 0.05
"""First guesses for predictions; 0.02 s on one core of a CPU for 160x160 frames with two animals."""

DEFAULT_EPOCHS: Final = 100
DEFAULT_FRAMES: Final = 200
PAST_JOBS_COUNTED: Final = 20


@attrs.frozen
class PastJob:
    """A training that this worker has finished."""

    model_type: str
    frame_count: int
    epochs: int
    duration_sec: float


def _positive_int(value: Any, default: int, most: int) -> int:
    if type(value) in (int, float) and value >= 1:
        return int(min(value, most))
    return default


def _sec_per_frame_epoch(job: PastJob) -> float:
    work = max(job.frame_count, 1) * max(job.epochs, 1)
    return max(job.duration_sec - OVERHEAD_SEC, 1.0) / work


def estimated_duration_minutes(request: JobRequest, past: Sequence[PastJob], *, has_gpu: bool) -> float:
    """Estimates a training from the median speed of the last ones, alike in model type if there are any.

    A prediction is estimated from its frames alone.
    """
    if request.job_type == "inference":
        return _estimated_prediction_minutes(request, has_gpu)
    model_type = request.config.get("model_type")
    alike = [job for job in past if job.model_type == model_type] or list(past)
    if alike:
        speed = median(_sec_per_frame_epoch(job) for job in alike[-PAST_JOBS_COUNTED:])
    else:
        speed = GPU_SEC_PER_FRAME_EPOCH if has_gpu else CPU_SEC_PER_FRAME_EPOCH
    epochs = _positive_int(request.config.get("epochs"), DEFAULT_EPOCHS, 100_000)
    frames = _positive_int(request.dataset_info.frame_count, DEFAULT_FRAMES, 10_000_000)
    return round((OVERHEAD_SEC + speed * epochs * frames) / 60, 2)


def _estimated_prediction_minutes(request: JobRequest, has_gpu: bool) -> float:
    frames = _positive_int(request.dataset_info.frame_count, DEFAULT_FRAMES, 10_000_000)
    speed = GPU_SEC_PER_PREDICTED_FRAME if has_gpu else CPU_SEC_PER_PREDICTED_FRAME
    return round((OVERHEAD_SEC + speed * frames) / 60, 2)
