"""Whether a worker takes a job: what it can do, and which of its slots are free.

Time is an argument, in seconds on any clock that only moves forward.
"""

from __future__ import annotations

from typing import Final

import attrs

from ..protocol.jobs import JobRequest
from ..protocol.limits import RESERVATION_SEC
from .versions import is_compatible

AVAILABLE: Final = "available"
RESERVED: Final = "reserved"
BUSY: Final = "busy"
MAINTENANCE: Final = "maintenance"

NOT_RESERVED: Final = "NOT_RESERVED"
"""Code of a job that is assigned to a worker which holds no slot for it (any more)."""


@attrs.frozen
class Capability:
    """What a worker is able to run, whether or not it has room for it now."""

    gpu_memory_mb: float
    supported_models: tuple[str, ...]
    supported_job_types: tuple[str, ...]
    sleap_version: str | None


def refusal_reason(request: JobRequest, capability: Capability, client_version: str | None) -> str | None:
    """Says why a worker can't ever run this job, in the protocol's words, or None if it can.

    A request without ``config.model_type`` leaves the choice to the worker, which then
    needs any model at all.
    """
    if request.job_type not in capability.supported_job_types:
        return "unsupported_job_type"
    model_type = request.config.get("model_type") or (request.model_info or {}).get("model_type")
    if not capability.supported_models or (
        model_type is not None and model_type not in capability.supported_models
    ):
        return "unsupported_model"
    if not is_compatible(capability.sleap_version, request.requirements.sleap_version or client_version):
        return "incompatible_version"
    if request.requirements.min_gpu_memory_mb > capability.gpu_memory_mb:
        return "insufficient_memory"
    return None


@attrs.frozen
class _Reservation:
    client_id: str
    expires_at: float


class Slots:
    """A worker's slots: held for 10 seconds for whoever was promised one, then taken or free again.

    Args:
        max_concurrent_jobs: How many jobs may run at once.
    """

    def __init__(self, max_concurrent_jobs: int) -> None:
        self.max_concurrent_jobs = max_concurrent_jobs
        self._reserved: dict[str, _Reservation] = {}
        self._running: dict[str, str] = {}

    def reserve(self, job_id: str, client_id: str, now: float) -> bool:
        """Holds a slot for a job, anew if it is the same client's; False if there is none."""
        self.expire(now)
        held = self._reserved.get(job_id)
        if job_id in self._running or (held is not None and held.client_id != client_id):
            return False
        if held is None and self.taken >= self.max_concurrent_jobs:
            return False
        self._reserved[job_id] = _Reservation(client_id, now + RESERVATION_SEC)
        return True

    def assign(self, job_id: str, client_id: str, now: float) -> bool:
        """Turns a client's reservation into a running job; False if it holds none (any more)."""
        self.expire(now)
        held = self._reserved.get(job_id)
        if held is None or held.client_id != client_id:
            return False
        del self._reserved[job_id]
        self._running[job_id] = client_id
        return True

    def release(self, job_id: str, client_id: str) -> bool:
        """Gives a client's reservation up; False if it holds none."""
        held = self._reserved.get(job_id)
        if held is None or held.client_id != client_id:
            return False
        del self._reserved[job_id]
        return True

    def finish(self, job_id: str) -> None:
        """Frees the slot of a running job."""
        self._running.pop(job_id, None)

    def expire(self, now: float) -> None:
        """Frees the slots whose time is over."""
        self._reserved = {j: r for j, r in self._reserved.items() if r.expires_at > now}

    def holds(self, job_id: str) -> bool:
        """Whether a slot is held for a job that hasn't been assigned yet."""
        return job_id in self._reserved

    @property
    def next_expiry(self) -> float | None:
        """When the next reservation ends."""
        return min((r.expires_at for r in self._reserved.values()), default=None)

    @property
    def taken(self) -> int:
        """Slots that run or are held."""
        return len(self._running) + len(self._reserved)

    @property
    def running(self) -> int:
        """Slots that run."""
        return len(self._running)

    @property
    def status(self) -> str:
        """The worker's ``status`` property as far as its slots decide it."""
        if self.running >= self.max_concurrent_jobs:
            return BUSY
        return RESERVED if self.taken >= self.max_concurrent_jobs else AVAILABLE
