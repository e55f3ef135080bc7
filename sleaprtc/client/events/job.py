"""What happens to a job, as the client sees it; the progress display and ``--json`` show these.

Each class's ``event`` names it in JSON. Sizes are in bytes, times in the unit of their name.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

import attrs

from ...jobs.properties import read_worker
from ...protocol.jobs import JobStatus
from ...protocol.messages import PeerInfo
from ...protocol.vocabulary import DigestAlgorithm, JobType, Phase
from .model import ModelReport
from .orders import LogLine, OrderDone


@attrs.frozen
class WorkerSummary:
    """A worker as found by discovery."""

    worker: str
    gpu_model: str | None
    gpu_memory_mb: float | None
    sleap_version: str | None
    status: str | None
    supported_models: tuple[str, ...] = ()
    hostname: str | None = None
    digest_algorithms: tuple[str, ...] = ()
    torch_device: str | None = None
    problems: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    sleap_rtc_version: str | None = None

    @property
    def best_digest_algorithm(self) -> str:
        """The fastest algorithm that it is known to have. A worker that doesn't say has SHA-256."""
        fast = DigestAlgorithm.BLAKE3
        return fast if fast in self.digest_algorithms else DigestAlgorithm.SHA256


def summarize(peer: PeerInfo) -> WorkerSummary:
    """Returns what of a worker's metadata a person wants to see; what has the wrong type is left out."""
    properties = read_worker(peer.metadata.properties)
    return WorkerSummary(
        worker=peer.peer_id,
        gpu_model=properties.gpu_model,
        gpu_memory_mb=properties.gpu_memory_mb,
        sleap_version=properties.sleap_version,
        status=properties.status,
        supported_models=properties.supported_models or (),
        hostname=properties.hostname,
        digest_algorithms=properties.digest_algorithms or (),
        torch_device=properties.torch_device,
        problems=properties.problems or (),
        features=properties.features or (),
        sleap_rtc_version=properties.sleap_rtc_version,
    )


@attrs.frozen
class AnswerSummary:
    """A worker's answer to a job request; ``accepted`` is None if none came in time."""

    worker: str
    accepted: bool | None
    reason: str | None = None
    estimated_start_time_sec: float | None = None
    estimated_duration_minutes: float | None = None
    available_memory_mb: float | None = None
    gpu_utilization: float | None = None
    message: str | None = None


@attrs.frozen
class WorkersFound:
    """Discovery is over."""

    event: ClassVar[str] = "workers"
    workers: tuple[WorkerSummary, ...]


@attrs.frozen
class Answered:
    """All workers have answered, or time is up; ``chosen`` gets the job."""

    event: ClassVar[str] = "answers"
    job_id: str
    answers: tuple[AnswerSummary, ...]
    chosen: str | None


@attrs.frozen
class Connected:
    """A data channel to the worker is open.

    Attributes:
        path: ``direct`` or ``relayed`` (by a TURN server), or None if the engine doesn't tell.
        engine: The WebRTC stack on this side.
    """

    event: ClassVar[str] = "connected"
    worker: str
    path: str | None = None
    engine: str | None = None


class Direction(StrEnum):
    """Which way a file goes, as its client sees it."""

    SEND = "send"
    RECEIVE = "receive"


@attrs.frozen
class Transferred:
    """The receiver has written this much of a file."""

    event: ClassVar[str] = "transfer"
    direction: Direction
    name: str
    size_bytes: int
    received_bytes: int
    offset_bytes: int


@attrs.frozen
class StatusChanged:
    """A status of the job from its worker; ``progress`` is 0.0 to 1.0.

    With ``interrupted``, the worker ends now, and resumes the job when it is started again.
    """

    event: ClassVar[str] = "status"
    worker: str
    status: str
    progress: float
    current_epoch: int | None = None
    total_epochs: int | None = None
    current_loss: float | None = None
    val_loss: float | None = None
    estimated_remaining_minutes: float | None = None
    model: str | None = None
    device: str | None = None
    message: str | None = None
    seq: int | None = None
    frames_done: int | None = None
    total_frames: int | None = None
    frames_per_sec: float | None = None
    interrupted: bool | None = None

    @classmethod
    def of(cls, worker: str, status: JobStatus) -> StatusChanged:
        """Returns the event for a worker's message."""
        return cls(
            worker=worker,
            status=status.status,
            progress=min(max(status.progress, 0.0), 1.0),
            message=status.message,
            seq=status.seq,
            **attrs.asdict(status.details),
        )


@attrs.frozen
class JobBegun:
    """A job gets its id, before any worker is asked. A retried job gets a new one."""

    event: ClassVar[str] = "job"
    job_id: str
    dataset: str
    job_type: str


@attrs.frozen
class Waiting:
    """No worker is free; ``patience_sec`` is how long to wait in total, None without a limit."""

    event: ClassVar[str] = "waiting"
    reason: str
    waited_sec: float
    patience_sec: float | None


@attrs.frozen
class Retrying:
    """A job failed in a way that may not happen again; ``attempt`` of ``attempts`` follows."""

    event: ClassVar[str] = "retrying"
    job_id: str
    worker: str | None
    message: str
    attempt: int
    attempts: int


@attrs.frozen
class Detached:
    """The job runs on its worker, and continues without this process."""

    event: ClassVar[str] = "detached"
    job_id: str
    worker: str


@attrs.frozen
class Failed:
    """One of several jobs ended without a result; ``job_id`` is None if it had none yet."""

    event: ClassVar[str] = "failed"
    job_id: str | None
    code: str
    message: str
    exit_status: int


@attrs.frozen
class WorkerLost:
    """The chosen worker was lost before work began; another one is sought."""

    event: ClassVar[str] = "worker_lost"
    worker: str
    message: str


@attrs.frozen
class Notice:
    """A message that is worth showing but changes nothing."""

    event: ClassVar[str] = "notice"
    message: str


@attrs.frozen
class Completed:
    """The job is done and its result is in place: models or, of an inference, predictions."""

    event: ClassVar[str] = "completed"
    job_id: str
    worker: str
    model_dirs: tuple[str, ...] = ()
    final_loss: float | None = None
    total_epochs: int | None = None
    training_duration_minutes: float | None = None
    model_size_mb: float | None = None
    device: str | None = None
    job_type: str = JobType.TRAINING
    predictions: str | None = None
    predictions_size_mb: float | None = None
    frame_count: int | None = None
    inference_duration_seconds: float | None = None
    report: tuple[ModelReport, ...] = ()
    fetched_before: bool = False
    """Whether the result was in place already, since an earlier command."""

    cut_short: str | None = None
    """Why less was trained than was asked for, as a sentence; None if nothing is missing."""


Event: TypeAlias = (
    WorkersFound
    | Answered
    | Connected
    | Transferred
    | StatusChanged
    | JobBegun
    | Waiting
    | Retrying
    | Detached
    | Failed
    | WorkerLost
    | Notice
    | Completed
)

Emit: TypeAlias = Callable[[Event], None]


def as_json_object(event: Event | OrderDone | LogLine) -> dict[str, Any]:
    """Returns the JSON object that ``--json`` prints for an event."""
    return {"event": event.event, **attrs.asdict(event)}


def is_at_work(status: JobStatus) -> bool:
    """Whether the work itself has begun, so the inputs have passed their checks."""
    details = status.details
    under_way = details.model or details.current_epoch or details.frames_done or status.progress > 0
    return status.status == Phase.SENDING or (status.status == Phase.RUNNING and bool(under_way))
