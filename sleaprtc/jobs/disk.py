"""Decides how a worker's disk is shared: what a job reserves, and whether another one still fits.

A job that is accepted has its share reserved until it ends. It may take more as long as nobody else has
reserved it; when the rest runs short, the job that took more than it reserved has to end, and no other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import attrs

from ..protocol.jobs import JobRequest
from ..protocol.limits import MIB
from ..protocol.vocabulary import JobType, Refusal

TRAINING_BYTES: Final = 512 * MIB
"""For a training besides its dataset: checkpoints of two models, and the archive that goes to the client."""

INFERENCE_BYTES: Final = 128 * MIB
"""For an inference besides its dataset and models: the predictions, and the unpacked models."""

SPARE_BYTES: Final = 16 * MIB
"""Left free on the disk, as for every file that is received."""


@attrs.frozen
class DiskUse:
    """How full a worker's disk is.

    Attributes:
        quota_bytes: The most that the worker's folder may take; infinite if only the disk limits it.
        folder_bytes: What the folder takes now.
        free_bytes: What is free on the file system.
        evictable_bytes: What the folder could do without: files of earlier jobs that no job uses.
        by_job: What lies in each running job's folder.
    """

    quota_bytes: float
    folder_bytes: float
    free_bytes: float
    evictable_bytes: float
    by_job: Mapping[str, float]

    @property
    def free_now_bytes(self) -> float:
        """What can be taken without evicting anything; negative if there is too much already."""
        return min(self.quota_bytes - self.folder_bytes, self.free_bytes - SPARE_BYTES)


@attrs.frozen
class DiskRefusal:
    """Why a job isn't accepted: a word of the protocol, and a sentence."""

    reason: Refusal
    sentence: str


def needed_bytes(request: JobRequest) -> float:
    """Returns what a job reserves. A dataset of unknown size is counted when it is offered."""
    dataset_bytes = (request.dataset_info.estimated_size_mb or 0) * MIB
    if request.job_type == JobType.INFERENCE:
        return dataset_bytes + INFERENCE_BYTES
    return 2 * dataset_bytes + TRAINING_BYTES  # a package is unpacked


def spare_bytes(use: DiskUse, reserved: Mapping[str, float], besides: Collection[str] = ()) -> float:
    """Returns what is left once everybody has what they reserved; negative if it isn't there any more.

    Args:
        use: How full the disk is.
        reserved: What each job has reserved, running or accepted.
        besides: Jobs whose reservations don't count.
    """
    outstanding = sum(
        max(0.0, most - use.by_job.get(job_id, 0.0))
        for job_id, most in reserved.items()
        if job_id not in besides
    )
    return use.free_now_bytes + use.evictable_bytes - outstanding


def refusal(use: DiskUse, reserved: Mapping[str, float], job_id: str, needed: float) -> DiskRefusal | None:
    """Returns why a job can't reserve what it needs; None if it can.

    It is ``busy`` if the jobs that are here are in the way, and ``maintenance`` if nobody but the worker's
    owner can make room.
    """
    lacking = needed - spare_bytes(use, reserved, {job_id})
    if lacking <= 0:
        return None
    others = {other: most for other, most in reserved.items() if other != job_id}
    held = sum(max(most, use.by_job.get(other, 0.0)) for other, most in others.items())
    has = f"The job needs about {needed / MIB:.0f} MiB of the worker's disk"
    if lacking <= held:
        return DiskRefusal(Refusal.BUSY, f"{has}, which other jobs have reserved.")
    return DiskRefusal(
        Refusal.MAINTENANCE, f"{has}, and {lacking / MIB:.0f} MiB are missing: its owner can make room."
    )


def has_to_end(use: DiskUse, reserved: Mapping[str, float], job_id: str) -> bool:
    """Whether a running job takes more than it reserved while others lack what they did."""
    is_over = use.by_job.get(job_id, 0.0) > reserved.get(job_id, 0.0)
    return is_over and spare_bytes(use, reserved, {job_id}) < 0
