"""Every error that this package raises on purpose.

One tree under :class:`SleapRTCError`. Each class carries a stable ``code`` for programs and an
``exit_status`` for shells; ``str(error)`` is one sentence for a person.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_DONE = 0
EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_NO_WORKER = 4
EXIT_NETWORK = 5
EXIT_NOT_YET = 75
"""``EX_TEMPFAIL`` of sysexits.h: what was asked for isn't there yet, and may be later."""

EXIT_INTERRUPTED = 130
EXIT_NOBODY_READS = 141
"""As a shell has it for SIGPIPE: whoever read the output, such as `head`, has had enough of it."""


class SleapRTCError(Exception):
    """Base of all errors of this package.

    Attributes:
        code: Stable identifier, upper case.
        exit_status: What a command that ends with this error returns to its shell.
    """

    code: ClassVar[str] = "ERROR"
    exit_status: ClassVar[int] = EXIT_JOB_FAILED


# --- wrong usage or input -------------------------------------------------------------------


class UsageError(SleapRTCError):
    """Options, configuration or files that the person at the terminal can put right."""

    code = "USAGE"
    exit_status = EXIT_USAGE


class OpenFolderError(UsageError):
    """A folder for secrets and jobs that other users of the machine can read or write."""

    code = "OPEN_FOLDER"


class InvalidDatasetError(UsageError):
    """A dataset that isn't readable as what it claims to be, or holds nothing to train on."""

    code = "INVALID_DATASET"


class InvalidTrainingConfigError(UsageError):
    """A training configuration that can't be read, or asks for what isn't allowed."""

    code = "INVALID_CONFIG"


class InvalidModelError(UsageError):
    """A model folder that can't be used for prediction, or holds more than weights and settings."""

    code = "INVALID_MODEL"


# --- the wire -------------------------------------------------------------------------------


class ProtocolError(SleapRTCError):
    """The other side sent something that the protocol doesn't allow.

    ``code`` is the wire's error code (protocol reference, section 2).
    """

    code = "INVALID_MESSAGE"
    exit_status = EXIT_NETWORK


class InvalidJSONError(ProtocolError):
    """The bytes aren't a JSON document as RFC 8259 has it (NaN and repeated keys are refused too)."""

    code = "INVALID_JSON"


class InvalidMessageError(ProtocolError):
    """A message of the known ``message_type`` lacks a field, or has a wrong one."""

    code = "INVALID_MESSAGE"
    message_type: str | None = None


class UnknownMessageTypeError(ProtocolError):
    """The message's type is none that this side knows."""

    code = "UNKNOWN_MESSAGE_TYPE"


class InvalidFilterError(ProtocolError):
    """A discovery filter has an unknown operator or an operand of the wrong type."""

    code = "INVALID_FILTER"


class TooLargeError(ProtocolError):
    """A frame, or a part of one, exceeds its limit in :mod:`sleaprtc.protocol.limits`."""

    code = "TOO_LARGE"


# --- refused by the server ------------------------------------------------------------------


class RefusedError(SleapRTCError):
    """The signaling server doesn't let this peer do what it asked."""

    code = "REFUSED"
    exit_status = EXIT_REFUSED


class RoomNotFoundError(RefusedError):
    """No such room, or the wrong room token; the server gives one answer for both."""

    code = "ROOM_NOT_FOUND"


class RoomExpiredError(RefusedError):
    """The room's time is over, or its creator deleted it."""

    code = "ROOM_EXPIRED"


class InvalidTokenError(RefusedError):
    """The identity token is missing, malformed, forged or expired."""

    code = "INVALID_TOKEN"


class PeerIdTakenError(RefusedError):
    """Another live peer of the room has this name."""

    code = "PEER_ID_TAKEN"


class IdentityMismatchError(RefusedError):
    """A message names a sender that isn't the peer registered on its connection."""

    code = "IDENTITY_MISMATCH"


class NotInRoomError(RefusedError):
    """Nothing is registered on this connection."""

    code = "NOT_IN_ROOM"


class RateLimitedError(RefusedError):
    """Too many requests in too short a time."""

    code = "RATE_LIMITED"


class RoomFullError(RefusedError):
    """The room has as many peers as it may have."""

    code = "TOO_LARGE"


class ForbiddenError(RefusedError):
    """The room or peer belongs to somebody else."""

    code = "FORBIDDEN"


class RoomSecretMissingError(RefusedError):
    """One of two peers has a secret for the room and the other hasn't: nothing passes between them."""

    code = "ROOM_SECRET_MISSING"


class PeerNotProvenError(RefusedError):
    """The other end of a data channel doesn't prove that it knows the room's secret."""

    code = "PEER_NOT_PROVEN"


# --- network --------------------------------------------------------------------------------


class NetworkError(SleapRTCError):
    """A connection couldn't be made or was lost."""

    code = "NETWORK"
    exit_status = EXIT_NETWORK


class SignalingUnreachableError(NetworkError):
    """The signaling server doesn't answer at its address."""

    code = "SIGNALING_UNREACHABLE"


class SignalingResetError(SignalingUnreachableError):
    """The signaling server was there and cut the connection before it answered, as one that restarts does."""


class InvalidAnswerError(NetworkError):
    """The signaling server answered what the protocol doesn't allow; nothing of it is used."""

    code = "INVALID_ANSWER"


class SignalingLostError(NetworkError):
    """The connection to the signaling server ended while it was in use."""

    code = "SIGNALING_LOST"


class UntrustedServerError(NetworkError):
    """The signaling server's certificate isn't valid for its address, or nobody trusted signed it."""

    code = "UNTRUSTED_SERVER"


class PeerUnreachableError(NetworkError):
    """The target isn't in this room, or its connection can't take the message."""

    code = "PEER_NOT_IN_ROOM"


class DeliveryFailedError(PeerUnreachableError):
    """The target is in the room, but the message couldn't be handed to it."""

    code = "DELIVERY_FAILED"


class ConnectionFailedError(NetworkError):
    """No WebRTC data channel came about between the two peers in the time given."""

    code = "CONNECTION_FAILED"


class ChannelClosedError(NetworkError):
    """The data channel is closed, by either side or by the loss of its path."""

    code = "CHANNEL_CLOSED"


# --- transfer -------------------------------------------------------------------------------


class TransferError(SleapRTCError):
    """A file didn't get across."""

    code = "TRANSFER_FAILED"
    exit_status = EXIT_NETWORK


class TransferRefusedError(TransferError):
    """The receiver declined the file."""

    code = "TRANSFER_REFUSED"


class TransferAbortedError(TransferError):
    """One side gave the transfer up midway."""

    code = "TRANSFER_ABORTED"


class SenderStalledError(TransferAbortedError):
    """The other side sends no bytes of an accepted file, or next to none."""


class DigestMismatchError(TransferError):
    """What arrived isn't what was announced."""

    code = "DIGEST_MISMATCH"


class InvalidFileNameError(TransferError):
    """A received file name that isn't a single, plain path component."""

    code = "INVALID_NAME"


class InvalidArchiveError(TransferError):
    """A received archive with members that may not be unpacked."""

    code = "INVALID_ARCHIVE"


class AddressInUseError(UsageError):
    """A server can't listen where it was told to."""

    code = "ADDRESS_IN_USE"


class StorageError(SleapRTCError):
    """Local storage failed: disk full, folder not writable, database locked."""

    code = "STORAGE"


# --- jobs -----------------------------------------------------------------------------------


class NoWorkerError(SleapRTCError):
    """No worker fits, or none that fits accepted the job.

    Args:
        message: One sentence for a person.
        busy: Who refused because other jobs run, or didn't answer: they may take the job later.
        retry_after_sec: When to ask again, where one of them said so.
        all_busy: Whether all that fit refused because other jobs run.
    """

    code = "NO_WORKER"
    exit_status = EXIT_NO_WORKER

    def __init__(
        self,
        message: str,
        *,
        busy: tuple[str, ...] = (),
        retry_after_sec: float | None = None,
        all_busy: bool = False,
    ) -> None:
        super().__init__(message)
        self.busy = busy
        self.retry_after_sec = retry_after_sec
        self.all_busy = all_busy


class JobFailedError(SleapRTCError):
    """The job ran and ended without a result.

    Args:
        message: One sentence for a person.
        error_code: The worker's code for what went wrong.
        recoverable: True if the same job may succeed when it's tried again.
    """

    code = "JOB_FAILED"

    def __init__(self, message: str, *, error_code: str = "JOB_FAILED", recoverable: bool = False) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.recoverable = recoverable


class BrokenResultError(JobFailedError):
    """The worker completed the job, and what it sent can't be used as a result.

    Args:
        message: One sentence for a person.
    """

    code = "BROKEN_RESULT"

    def __init__(self, message: str) -> None:
        super().__init__(message, error_code="BROKEN_RESULT")


class WorkerLostError(JobFailedError):
    """The worker fell silent while the job was its.

    Args:
        message: One sentence for a person.
        way_back: What to do when it is back; it stands last, so that a command in it can be copied.
        before_work: Whether it was lost before work began, so that any worker may begin the job.
    """

    code = "WORKER_LOST"

    def __init__(self, message: str, *, way_back: str = "", before_work: bool = False) -> None:
        super().__init__(f"{message} {way_back}".rstrip())
        self.sentence = message
        self.way_back = way_back
        self.before_work = before_work


class WorkerUnreachableError(WorkerLostError):
    """The worker is in the room, and no data channel to it comes about."""

    code = "WORKER_UNREACHABLE"
    exit_status = EXIT_NETWORK


class WorkerAwayError(WorkerLostError):
    """The worker of a job that was begun before isn't in the room now, or doesn't answer."""

    code = "WORKER_AWAY"


class UnknownJobError(JobFailedError):
    """The worker has no such job, or not any more."""

    code = "UNKNOWN_JOB"


class TakenOverError(SleapRTCError):
    """Another process of the same client has attached to the job, which goes on there."""

    code = "TAKEN_OVER"
    exit_status = EXIT_NOT_YET


class NotFinishedError(SleapRTCError):
    """A job's result was asked for while the job still runs."""

    code = "NOT_FINISHED"
    exit_status = EXIT_NOT_YET


class NobodyReadsError(SleapRTCError):
    """Whoever read what a command prints has closed it. What the command does for them goes on."""

    code = "NOBODY_READS"
    exit_status = EXIT_NOBODY_READS


class JobCancelledError(SleapRTCError):
    """The person at the terminal ended the job."""

    code = "CANCELLED"
    exit_status = EXIT_INTERRUPTED


class TrainerError(SleapRTCError):
    """Training couldn't be started, or ended without a usable model.

    Args:
        message: One sentence for a person.
        error_code: Stable identifier of the cause.
        recoverable: True if the same job may succeed when it's tried again.
    """

    code = "TRAINING_FAILED"

    def __init__(
        self, message: str, *, error_code: str = "TRAINING_FAILED", recoverable: bool = False
    ) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.recoverable = recoverable
