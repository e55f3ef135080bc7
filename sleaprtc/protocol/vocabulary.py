"""The words that messages and metadata are made of (protocol reference, sections 2 to 4).

This package says these words and decides by them. The fields that carry them stay plain strings, since a
newer peer may send others. A member equals its string, and is sent as that string.
"""

from __future__ import annotations

from enum import StrEnum


class JobType(StrEnum):
    """What a job does: ``job_type`` of a request."""

    TRAINING = "training"
    INFERENCE = "inference"


class DatasetFormat(StrEnum):
    """What kind of file a dataset is: ``format`` of a request's ``dataset_info``."""

    SLP = "slp"
    ZIP = "zip"
    VIDEO = "video"


class Purpose(StrEnum):
    """What a file is for: ``purpose`` of a ``file_offer``."""

    CONFIG = "config"
    MODEL = "model"
    VALIDATION = "validation"
    """Labels to validate on; an addition, which a worker announces as a feature."""

    DATASET = "dataset"
    PREDICTIONS = "predictions"


class Phase(StrEnum):
    """How far a worker is with a job: ``status`` of a ``job_status``."""

    STARTING = "starting"
    RECEIVING = "receiving"
    RUNNING = "running"
    SENDING = "sending"


class CancelReason(StrEnum):
    """Why a client cancels: ``reason`` of a ``job_cancel``. Only people read it."""

    ASSIGNED_ELSEWHERE = "assigned_elsewhere"
    CLIENT_CANCELLED = "client_cancelled"
    CLIENT_LEFT = "client_left"


class WorkerStatus(StrEnum):
    """Whether a worker has room for a job: ``status`` among a worker's properties."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    BUSY = "busy"
    MAINTENANCE = "maintenance"


class Refusal(StrEnum):
    """Why a worker declines: ``reason`` of a ``job_response`` or a ``connection_check_answer``."""

    BUSY = "busy"
    INSUFFICIENT_MEMORY = "insufficient_memory"
    UNSUPPORTED_MODEL = "unsupported_model"
    UNSUPPORTED_JOB_TYPE = "unsupported_job_type"
    INCOMPATIBLE_VERSION = "incompatible_version"
    MAINTENANCE = "maintenance"


class ErrorCode(StrEnum):
    """What went wrong with a job or a file: ``code`` of an error, where no error class has it for its own.

    The codes of :mod:`sleaprtc.errors` go over the wire too, and a trainer may have further ones.
    """

    CANCELLED = "CANCELLED"
    """Another process of the client ended the job."""

    CLIENT_LOST = "CLIENT_LOST"
    """The client made no connection in time."""

    DISK_FULL = "DISK_FULL"
    """There is no room on the worker's disk."""

    DISK_LIMIT = "DISK_LIMIT"
    """The job took more disk than the worker's owner allows."""

    INTERNAL = "INTERNAL"
    """The worker has a fault."""

    KILLED = "KILLED"
    """Something else than the worker ended the trainer's process."""

    LOSS_NOT_FINITE = "LOSS_NOT_FINITE"
    """A training has diverged."""

    MEMORY_LIMIT = "MEMORY_LIMIT"
    """The job took more memory than the worker's owner allows."""

    NO_RESULT = "NO_RESULT"
    """The trainer's process ended without a word."""

    NO_TRAINER = "NO_TRAINER"
    """Nothing that could train is installed on the worker."""

    NOT_PURGED = "NOT_PURGED"
    """The worker can't delete something of a job."""

    NOT_RESERVED = "NOT_RESERVED"
    """The worker holds no slot for the job that it was assigned, or no longer."""

    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    """A training or prediction needs more memory than the worker's machine or GPU has."""

    PREDICTION_FAILED = "PREDICTION_FAILED"
    """sleap-nn couldn't predict."""

    SLOT_LOST = "SLOT_LOST"
    """The job's slot went to a client that had proved itself."""

    STILL_RUNNING = "STILL_RUNNING"
    """What was asked for has to wait until the job is over."""

    TAKEN_OVER = "TAKEN_OVER"
    """Another process of the client follows the job now."""

    TIME_LIMIT = "TIME_LIMIT"
    """The job took longer than the worker's owner allows."""

    TOO_LARGE = "TOO_LARGE"
    """A file, or all files together, exceed a limit."""

    TRAINING_FAILED = "TRAINING_FAILED"
    """sleap-nn couldn't train."""

    UNEXPECTED_FILE = "UNEXPECTED_FILE"
    """The job has no use for such a file."""

    UNKNOWN_JOB = "UNKNOWN_JOB"
    """The worker has no such job of this client."""

    WORKER_RESTARTED = "WORKER_RESTARTED"
    """The worker was restarted while it had the job."""

    WORKER_STOPPED = "WORKER_STOPPED"
    """The worker's owner stopped it."""


class ClientErrorCode(StrEnum):
    """What went wrong with a job as its client sees it: ``code`` of an error that no worker sent."""

    UNREADABLE = "UNREADABLE"
    """The worker reports a failure in a message that can't be read."""


class DigestAlgorithm(StrEnum):
    """What a file's ``digest`` is computed with, and what a worker announces as ``digest_algorithms``."""

    SHA256 = "sha256"
    """Every implementation has it."""

    BLAKE3 = "blake3"
    """Takes about a quarter of SHA-256's time; an addition."""


class RoomEnd(StrEnum):
    """Why a room has ended: ``reason`` of a ``room_closed``."""

    EXPIRED = "expired"
    DELETED = "deleted"


class PredictionFormat(StrEnum):
    """The formats in which a worker can write predictions (``format`` in an inference's ``config``)."""

    SLP = "slp"
    CSV = "csv"
    ANALYSIS = "analysis.h5"
    NWB = "nwb"

    @property
    def suffix(self) -> str:
        """How the names of such files end."""
        return f".{self.value}"
