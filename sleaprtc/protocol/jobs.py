"""Job messages between client and worker: the ``payload`` of a peer message (protocol reference, section 3).

Sizes are in MiB, progress is 0.0 to 1.0, and durations carry their unit in the name. The types of numbers
give their ranges (:mod:`.units`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, TypeAlias

import attrs

from .limits import JOB_RESPONSE_TIMEOUT_SEC
from .messages import JSONObject
from .units import (
    BATCH_SIZE,
    EPOCHS,
    LEARNING_RATE,
    PROBABILITY,
    ByteOffset,
    Count,
    Megapixels,
    Milliseconds,
    Minutes,
    PerSec,
    Range,
    Seconds,
    SequenceNumber,
    SizeMb,
    UnixTime,
    Utilization,
)
from .vocabulary import DatasetFormat, JobType

TRANSFER_METHOD: Final = "webrtc_datachannel"
"""How a result comes: the only way there is."""


@attrs.frozen
class DatasetInfo:
    """The client's description of a dataset that it hasn't sent yet.

    ``frame_megapixels`` is the size of one image, in millions of pixels; an addition that other
    implementations ignore.
    """

    format: str = DatasetFormat.SLP
    frame_count: Count | None = None
    skeleton_type: str | None = None
    estimated_size_mb: SizeMb | None = None
    frame_megapixels: Megapixels | None = None


@attrs.frozen
class Requirements:
    """What a worker must have; ``sleap_version`` is that of the client's own sleap-nn, if it has one."""

    min_gpu_memory_mb: SizeMb = 0
    estimated_duration_minutes: Minutes | None = None
    sleap_version: str | None = None


@attrs.frozen
class WorkerInfo:
    """The worker's load at the time of its answer; utilisation is 0.0 to 1.0."""

    gpu_utilization: Utilization | None = None
    available_memory_mb: SizeMb | None = None


@attrs.frozen
class JobRequest:
    """Asks a worker whether it would run a job.

    ``attach_digest`` is the SHA-256, in hexadecimal, of the key with which a later process may attach to
    the job (:class:`JobAttach`). ``proof`` shows that the client knows the room's secret
    (:mod:`sleaprtc.jobs.request_proof`). The worker keeps nothing of an ``ephemeral`` job once its result is
    fetched. All three are additions that other implementations ignore.
    """

    app_message_type: ClassVar[str] = "job_request"
    job_id: str
    job_type: str
    dataset_info: DatasetInfo = DatasetInfo()
    config: JSONObject = attrs.field(factory=dict)
    requirements: Requirements = Requirements()
    timeout_ms: Milliseconds = JOB_RESPONSE_TIMEOUT_SEC * 1000
    model_info: JSONObject | None = None
    attach_digest: str | None = None
    proof: str | None = attrs.field(default=None, repr=False)
    ephemeral: bool = False


@attrs.frozen
class JobResponse:
    """A worker accepts a job, with its estimates, or refuses it, with the reason.

    ``message`` says in a sentence what a refusal's ``reason`` doesn't; an addition that others ignore.
    """

    app_message_type: ClassVar[str] = "job_response"
    job_id: str
    accepted: bool
    estimated_start_time_sec: Seconds | None = None
    estimated_duration_minutes: Minutes | None = None
    worker_info: WorkerInfo | None = None
    reason: str | None = None
    retry_after_sec: Seconds | None = None
    message: str | None = None


@attrs.frozen
class JobAssignment:
    """The client assigns the job to this worker."""

    app_message_type: ClassVar[str] = "job_assignment"
    job_id: str
    initiate_connection: bool = True


@attrs.frozen
class StatusDetails:
    """How far a job is.

    ``model`` is the head in training, and ``device`` the device that is really used. ``interrupted`` is true
    in the last status before a worker ends that resumes the job when it is started again. An inference
    fills the last group. ``model``, ``device``, ``interrupted`` and that group are additions that other
    implementations ignore.
    """

    current_epoch: Count | None = None
    total_epochs: Count | None = None
    current_loss: float | None = None
    val_loss: float | None = None
    estimated_remaining_minutes: Minutes | None = None
    model: str | None = None
    device: str | None = None
    interrupted: bool | None = None

    frames_done: Count | None = None
    total_frames: Count | None = None
    frames_per_sec: PerSec | None = None


@attrs.frozen
class JobStatus:
    """A job's progress, and a sign of life; ``seq`` increases by one, so that the client notices a gap.

    ``timestamp`` is the time of the status, in Unix epoch seconds; an addition that others ignore.
    """

    app_message_type: ClassVar[str] = "job_status"
    job_id: str
    status: str
    progress: float = 0.0
    details: StatusDetails = StatusDetails()
    message: str | None = None
    seq: SequenceNumber | None = None
    timestamp: UnixTime | None = None


@attrs.frozen
class JobResult:
    """A job's result; a training job fills the first group, an inference job the second.

    ``file_count`` is how many files the worker is about to send; None means one. ``cut_short`` is why less
    was trained than was asked for, as a sentence; an addition that other implementations ignore.
    """

    model_size_mb: SizeMb | None = None
    final_loss: float | None = None
    training_duration_minutes: Minutes | None = None
    total_epochs: Count | None = None

    predictions_size_mb: SizeMb | None = None
    frame_count: Count | None = None
    inference_duration_seconds: Seconds | None = None

    file_count: Count | None = None
    device: str | None = None
    cut_short: str | None = None


@attrs.frozen
class JobComplete:
    """The job is done, and its result can be fetched over the data channel."""

    app_message_type: ClassVar[str] = "job_complete"
    job_id: str
    status: str = "completed"
    result: JobResult = JobResult()
    transfer_method: str = TRANSFER_METHOD
    ready_for_download: bool = True


@attrs.frozen
class JobError:
    """Why a job failed; ``message`` is a sentence for a person."""

    code: str
    message: str
    recoverable: bool = False


@attrs.frozen
class JobFailed:
    """The job ended without a result."""

    app_message_type: ClassVar[str] = "job_failed"
    job_id: str
    error: JobError
    status: str = "failed"
    partial_results: JSONObject | None = None


@attrs.frozen
class JobCancel:
    """The client cancels the job on this worker.

    ``attach_key`` as in :class:`JobAttach` lets another process of the client cancel it; an addition that
    others ignore.
    """

    app_message_type: ClassVar[str] = "job_cancel"
    job_id: str
    reason: str | None = None
    attach_key: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class JobCancelled:
    """The worker has cancelled the job."""

    app_message_type: ClassVar[str] = "job_cancelled"
    job_id: str
    status: str = "cancelled"
    cleanup_complete: bool = True


@attrs.frozen
class JobStop:
    """The client ends a training early and keeps the best model; the job then completes as usual.

    ``attach_key`` as in :class:`JobAttach` lets another process of the client stop it; an addition that
    others ignore.
    """

    app_message_type: ClassVar[str] = "job_stop"
    job_id: str
    attach_key: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class WorkerHeartbeat:
    """A worker's sign of life to the client of a job."""

    app_message_type: ClassVar[str] = "worker_heartbeat"
    timestamp: float
    status: str
    gpu_utilization: Utilization | None = None
    active_jobs: Count = 0
    job_id: str | None = None


@attrs.frozen
class AppError:
    """Either side reports that it can't act on a message that it received."""

    app_message_type: ClassVar[str] = "app_error"
    error_code: str
    message: str
    recoverable: bool = False
    details: JSONObject | None = None
    job_id: str | None = None


@attrs.frozen
class JobAttach:
    """A later process of the job's client attaches to the job; an addition of this implementation.

    ``attach_key`` is the key whose digest was the request's ``attach_digest``. With ``follow``, the job is
    this process's: the worker sends it the statuses after ``after_seq`` and everything that comes later.
    Without it, the worker only answers.
    """

    app_message_type: ClassVar[str] = "job_attach"
    job_id: str
    attach_key: str = attrs.field(repr=False)
    after_seq: int = 0
    follow: bool = True


@attrs.frozen
class JobAttached:
    """The answer to :class:`JobAttach`.

    Older workers leave out everything but ``state``.

    Attributes:
        state: ``receiving``, ``training``, ``interrupted``, ``completed``, ``failed`` or ``delivered``.
        since: When the job entered this state, in Unix epoch seconds.
        last_status: The job's last status.
        result: The result of a job that is complete.
        error: Why the job failed.
        stop_requested: Whether the job is ending early.
        follows: Whether the peer that asked is the one that follows the job; None if the job is over.
    """

    app_message_type: ClassVar[str] = "job_attached"
    job_id: str
    state: str
    since: UnixTime | None = None
    last_status: JobStatus | None = None
    result: JobResult | None = None
    error: JobError | None = None
    stop_requested: bool = False
    follows: bool | None = None


@attrs.frozen
class JobLogRequest:
    """A process of the job's client asks for the job's log; an addition of this implementation.

    ``after_seq`` is the last status that the process has. ``log_offset_bytes`` is where to continue in the
    trainer's log; without it, the worker begins with the log's last lines. Any integer is valid for either:
    the worker begins at the start if it is negative.
    """

    app_message_type: ClassVar[str] = "job_log_request"
    job_id: str
    attach_key: str = attrs.field(repr=False)
    after_seq: int = 0
    log_offset_bytes: int | None = None


@attrs.frozen
class JobLog:
    """The answer to :class:`JobLogRequest`: one part of the job's log.

    ``has_more`` means that the next part is available already; ``state`` is as in :class:`JobAttached`.
    """

    app_message_type: ClassVar[str] = "job_log"
    job_id: str
    state: str
    statuses: tuple[JobStatus, ...] = ()
    trainer_log: str = ""
    log_offset_bytes: ByteOffset = 0
    has_more: bool = False


@attrs.frozen
class JobPurge:
    """A process of the job's client has the worker delete everything of a job that is over; our addition."""

    app_message_type: ClassVar[str] = "job_purge"
    job_id: str
    attach_key: str = attrs.field(repr=False)


@attrs.frozen
class JobPurged:
    """The answer to :class:`JobPurge`: nothing of the job is left on the worker."""

    app_message_type: ClassVar[str] = "job_purged"
    job_id: str


@attrs.frozen
class ConnectionCheck:
    """Asks a worker to answer an offer for a connection that is only measured; an addition of ours.

    ``job_id`` is the asker's name for the check, ``proof`` as in :class:`JobRequest`.
    """

    app_message_type: ClassVar[str] = "connection_check"
    job_id: str
    proof: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class ConnectionCheckAnswer:
    """The worker's answer to :class:`ConnectionCheck`: with ``accepted`` it answers the next offer.

    ``reason`` is ``busy`` if another measurement is running.
    """

    app_message_type: ClassVar[str] = "connection_check_answer"
    job_id: str
    accepted: bool
    reason: str | None = None


JobMessage: TypeAlias = (
    JobRequest
    | JobResponse
    | JobAssignment
    | JobStatus
    | JobComplete
    | JobFailed
    | JobCancel
    | JobCancelled
    | JobStop
    | WorkerHeartbeat
    | AppError
    | JobAttach
    | JobAttached
    | JobLogRequest
    | JobLog
    | JobPurge
    | JobPurged
    | ConnectionCheck
    | ConnectionCheckAnswer
)

REPORTS: Final = (WorkerInfo, JobResponse, StatusDetails, JobStatus, JobResult, WorkerHeartbeat, JobAttached)
"""What a worker reports about itself and its jobs. An out-of-range number in an optional field of a report is
treated as missing, since no job should fail because of a report. In all other messages it is refused."""

CONFIG_NUMBERS: Final[Mapping[str, Mapping[str, Range]]] = {
    JobType.TRAINING: {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE},
    JobType.INFERENCE: {"batch_size": BATCH_SIZE, "peak_threshold": PROBABILITY},
}
"""The numbers in a request's ``config`` that workers read, for each ``job_type``."""


def fault_in_config(request: JobRequest) -> str | None:
    """Returns what is wrong with the numbers in a request's ``config``; None if all are in their ranges.

    Without this check, the worker would refuse them only after all files have arrived. Values that aren't
    numbers are left to it.
    """
    for name, allowed in CONFIG_NUMBERS.get(request.job_type, {}).items():
        value = request.config.get(name)
        if type(value) in (int, float) and value not in allowed:
            return f"config.{name} must be {allowed}"
    return None
